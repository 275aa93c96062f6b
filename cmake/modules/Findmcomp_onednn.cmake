# Finds oneDNN 2.6 or 3.x and offers it as mcomp_onednn::dnnl.
#
# oneDNN's own package file comes first. Debian's demands OpenCL even of a QUIET look-up, which would end the configure
# run of everybody without it; so the package file is used only where OpenCL can be found, and the header and the
# library themselves otherwise. Installed with mcomp, so that a consumer repeats the same search.
#
# Results: mcomp_onednn_FOUND, mcomp_onednn_VERSION. Hint: dnnl_ROOT.
if(NOT TARGET mcomp_onednn::dnnl)
  find_path(mcomp_onednn_INCLUDE_DIR NAMES oneapi/dnnl/dnnl.hpp HINTS ${dnnl_ROOT} ENV dnnl_ROOT PATH_SUFFIXES include)
  find_library(mcomp_onednn_LIBRARY NAMES dnnl HINTS ${dnnl_ROOT} ENV dnnl_ROOT PATH_SUFFIXES lib lib64)
  mark_as_advanced(mcomp_onednn_INCLUDE_DIR mcomp_onednn_LIBRARY)
  set(mcomp_onednn_VERSION "")
  if(mcomp_onednn_INCLUDE_DIR)
    file(STRINGS "${mcomp_onednn_INCLUDE_DIR}/oneapi/dnnl/dnnl_version.h" _mcomp_lines REGEX "#define DNNL_VERSION_(MAJOR|MINOR|PATCH) +[0-9]+")
    string(REGEX MATCHALL "[0-9]+" _mcomp_numbers "${_mcomp_lines}")
    list(JOIN _mcomp_numbers "." mcomp_onednn_VERSION)
  endif()
endif()

include(FindPackageHandleStandardArgs)
if(TARGET mcomp_onednn::dnnl)
  set(mcomp_onednn_FOUND TRUE)
else()
  find_package_handle_standard_args(mcomp_onednn REQUIRED_VARS mcomp_onednn_LIBRARY mcomp_onednn_INCLUDE_DIR
    VERSION_VAR mcomp_onednn_VERSION)
  if(mcomp_onednn_FOUND AND mcomp_onednn_VERSION VERSION_LESS 2.6)
    message(STATUS "oneDNN ${mcomp_onednn_VERSION} is older than 2.6 and is not used")
    set(mcomp_onednn_FOUND FALSE)
  endif()
  if(mcomp_onednn_FOUND)
    add_library(mcomp_onednn::dnnl UNKNOWN IMPORTED)
    set_target_properties(mcomp_onednn::dnnl PROPERTIES
      IMPORTED_LOCATION "${mcomp_onednn_LIBRARY}"
      INTERFACE_INCLUDE_DIRECTORIES "${mcomp_onednn_INCLUDE_DIR}")
  endif()
endif()
