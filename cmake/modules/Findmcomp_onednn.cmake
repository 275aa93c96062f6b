# Finds oneDNN 2.6 or newer and offers it as mcomp_onednn::dnnl. Installed with mcomp, so that a consumer of the static
# libraries repeats the same search.
#
# oneDNN's own package file is the first choice, since it knows what a static oneDNN links to. Where oneDNN was built
# for OpenCL (Debian's is), that file demands the OpenCL headers even of a QUIET look-up and would end the configure
# run without them. The header says beforehand whether it will; the shared library then serves as well by itself,
# because nothing here uses a GPU.
#
# Results: mcomp_onednn_FOUND, mcomp_onednn_VERSION, mcomp_onednn_LIBRARY where a library file was found.
# Hint: dnnl_ROOT, as CMake or environment variable; it beats every other place.

set(_mcomp_onednn_hint ${dnnl_ROOT} $ENV{dnnl_ROOT})
if(DEFINED CACHE{mcomp_onednn_HINT} AND NOT "${_mcomp_onednn_hint}" STREQUAL "$CACHE{mcomp_onednn_HINT}")
  # What was found under the old hint must not survive a new one.
  unset(mcomp_onednn_INCLUDE_DIR CACHE)
  unset(mcomp_onednn_LIBRARY CACHE)
  unset(dnnl_DIR CACHE)
endif()
set(mcomp_onednn_HINT "${_mcomp_onednn_hint}" CACHE INTERNAL "Hint of the last search for oneDNN")

find_path(mcomp_onednn_INCLUDE_DIR NAMES oneapi/dnnl/dnnl.hpp HINTS ${_mcomp_onednn_hint} PATH_SUFFIXES include
  NO_DEFAULT_PATH)
find_path(mcomp_onednn_INCLUDE_DIR NAMES oneapi/dnnl/dnnl.hpp)

set(mcomp_onednn_VERSION "")
set(_mcomp_onednn_reason "")
set(_mcomp_onednn_opencl FALSE)
if(mcomp_onednn_INCLUDE_DIR)
  cmake_path(GET mcomp_onednn_INCLUDE_DIR PARENT_PATH _mcomp_onednn_prefix)
  # The library that belongs to the header, before one of another installation.
  find_library(mcomp_onednn_LIBRARY NAMES dnnl HINTS ${_mcomp_onednn_prefix}
    PATH_SUFFIXES lib/${CMAKE_LIBRARY_ARCHITECTURE} lib lib64 NO_DEFAULT_PATH)
  find_library(mcomp_onednn_LIBRARY NAMES dnnl)

  set(_mcomp_onednn_numbers)
  foreach(_mcomp_onednn_part MAJOR MINOR PATCH)
    file(STRINGS "${mcomp_onednn_INCLUDE_DIR}/oneapi/dnnl/dnnl_version.h" _mcomp_onednn_line
      REGEX "^#define DNNL_VERSION_${_mcomp_onednn_part} +[0-9]+")
    string(REGEX MATCH "[0-9]+" _mcomp_onednn_number "${_mcomp_onednn_line}")
    list(APPEND _mcomp_onednn_numbers "${_mcomp_onednn_number}")
  endforeach()
  list(JOIN _mcomp_onednn_numbers "." mcomp_onednn_VERSION)
  file(STRINGS "${mcomp_onednn_INCLUDE_DIR}/oneapi/dnnl/dnnl_config.h" _mcomp_onednn_line
    REGEX "^#define DNNL_GPU_RUNTIME +DNNL_RUNTIME_OCL")
  if(_mcomp_onednn_line)
    set(_mcomp_onednn_opencl TRUE)
  endif()
endif()
mark_as_advanced(mcomp_onednn_INCLUDE_DIR mcomp_onednn_LIBRARY)

# A library file that stands for itself: a shared one (or an import library) of the header's major version.
set(_mcomp_onednn_alone FALSE)
if(mcomp_onednn_INCLUDE_DIR AND mcomp_onednn_LIBRARY)
  file(REAL_PATH "${mcomp_onednn_LIBRARY}" _mcomp_onednn_file)
  string(REGEX REPLACE "\\..*" "" _mcomp_onednn_major "${mcomp_onednn_VERSION}")
  if(_mcomp_onednn_file MATCHES "\\.a$")
    set(_mcomp_onednn_reason "${mcomp_onednn_LIBRARY} is static, and what it links to is known to its package file alone")
  elseif(_mcomp_onednn_file MATCHES "\\.so\\.([0-9]+)" AND NOT CMAKE_MATCH_1 STREQUAL _mcomp_onednn_major)
    set(_mcomp_onednn_reason
      "the headers in ${mcomp_onednn_INCLUDE_DIR} are of oneDNN ${mcomp_onednn_VERSION}, ${_mcomp_onednn_file} is not")
  else()
    set(_mcomp_onednn_alone TRUE)
  endif()
endif()

set(_mcomp_onednn_package FALSE)
if(_mcomp_onednn_opencl AND NOT _mcomp_onednn_alone)
  find_package(OpenCL QUIET)
endif()
if(NOT _mcomp_onednn_opencl OR (NOT _mcomp_onednn_alone AND OpenCL_FOUND))
  find_package(dnnl CONFIG QUIET HINTS ${_mcomp_onednn_prefix})
  if(TARGET DNNL::dnnl)
    set(_mcomp_onednn_package TRUE)
    if(dnnl_VERSION)
      set(mcomp_onednn_VERSION "${dnnl_VERSION}")
    endif()
  endif()
endif()

if(_mcomp_onednn_package OR _mcomp_onednn_alone)
  set(_mcomp_onednn_usable TRUE)
  if(mcomp_onednn_VERSION VERSION_LESS 2.6)
    set(_mcomp_onednn_usable FALSE)
    set(_mcomp_onednn_reason "oneDNN ${mcomp_onednn_VERSION} is older than 2.6")
  endif()
else()
  set(_mcomp_onednn_usable FALSE)
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(mcomp_onednn REQUIRED_VARS _mcomp_onednn_usable VERSION_VAR mcomp_onednn_VERSION
  HANDLE_VERSION_RANGE REASON_FAILURE_MESSAGE "${_mcomp_onednn_reason}")

if(mcomp_onednn_FOUND AND NOT TARGET mcomp_onednn::dnnl)
  if(_mcomp_onednn_package)
    add_library(mcomp_onednn::dnnl INTERFACE IMPORTED)
    set_target_properties(mcomp_onednn::dnnl PROPERTIES INTERFACE_LINK_LIBRARIES DNNL::dnnl)
  else()
    add_library(mcomp_onednn::dnnl UNKNOWN IMPORTED)
    set_target_properties(mcomp_onednn::dnnl PROPERTIES
      IMPORTED_LOCATION "${mcomp_onednn_LIBRARY}"
      INTERFACE_INCLUDE_DIRECTORIES "${mcomp_onednn_INCLUDE_DIR}")
  endif()
endif()
