# Install rules: libraries, headers, the CMake package and the pkg-config files. Every link target is a component of
# the package with a target file of its own, so that a prefix may hold the lower ones alone
# (cmake --install BUILD --component mcomp_core).
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/mcomp)
get_target_property(library_type mcomp_core TYPE)
if(library_type STREQUAL "STATIC_LIBRARY")
  set(mcomp_STATIC ON)
else()
  set(mcomp_STATIC OFF)
endif()

foreach(component core kernels mcomp)
  if(component STREQUAL "mcomp")
    set(target mcomp)
  else()
    set(target mcomp_${component})
  endif()
  # Named in the package and in `cmake --install --component`. mcomp::mcomp stands for all, so it comes with the last.
  if(component STREQUAL "core")
    set(install_component mcomp_core)
  else()
    set(install_component mcomp_kernels)
  endif()
  install(TARGETS ${target} EXPORT mcomp-${component}-targets
    RUNTIME COMPONENT ${install_component}
    LIBRARY COMPONENT ${install_component}
    ARCHIVE COMPONENT ${install_component})
  install(EXPORT mcomp-${component}-targets NAMESPACE mcomp:: DESTINATION ${package_dir} COMPONENT ${install_component})
endforeach()

install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/mcomp DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT mcomp_core
  FILES_MATCHING PATTERN "*.hpp" PATTERN "kernels" EXCLUDE)
install(FILES ${PROJECT_BINARY_DIR}/generated/mcomp/core/version.hpp
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/mcomp/core COMPONENT mcomp_core)
if(EXISTS ${PROJECT_SOURCE_DIR}/include/mcomp/kernels)
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/mcomp/kernels DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/mcomp
    COMPONENT mcomp_kernels FILES_MATCHING PATTERN "*.hpp")
endif()
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT mcomp_core)

configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/mcompConfig.cmake.in
  ${PROJECT_BINARY_DIR}/package/mcompConfig.cmake INSTALL_DESTINATION ${package_dir} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/package/mcompConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/package/mcompConfig.cmake ${PROJECT_BINARY_DIR}/package/mcompConfigVersion.cmake
  ${PROJECT_SOURCE_DIR}/cmake/modules/Findmcomp_onednn.cmake DESTINATION ${package_dir} COMPONENT mcomp_core)

# pkg-config: everything relative to the file, so that a staged or moved prefix works.
set(pkgconfig_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
  set(pc_prefix "${CMAKE_INSTALL_PREFIX}")
  set(pc_libdir "${CMAKE_INSTALL_LIBDIR}")
else()
  file(RELATIVE_PATH up "/prefix/${pkgconfig_dir}" "/prefix")
  string(REGEX REPLACE "/$" "" up "${up}")
  set(pc_prefix "\${pcfiledir}/${up}")
  set(pc_libdir "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
endif()
if(IS_ABSOLUTE "${CMAKE_INSTALL_INCLUDEDIR}")
  set(pc_includedir "${CMAKE_INSTALL_INCLUDEDIR}")
else()
  set(pc_includedir "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
endif()
set(pc_core_cflags "")
set(pc_core_private "")
set(pc_kernels_private "")
if(mcomp_STATIC)
  set(pc_core_cflags " -DMCOMP_STATIC_DEFINE")
  set(pc_core_private "${CMAKE_THREAD_LIBS_INIT}")
  if(mcomp_WITH_ONEDNN)
    # oneDNN installs no pkg-config file to require.
    set(pc_kernels_private "-ldnnl")
    if(mcomp_onednn_LIBRARY)
      cmake_path(GET mcomp_onednn_LIBRARY PARENT_PATH onednn_dir)
      if(NOT onednn_dir IN_LIST CMAKE_CXX_IMPLICIT_LINK_DIRECTORIES)
        string(PREPEND pc_kernels_private "-L${onednn_dir} ")
      endif()
    endif()
    if(mcomp_HAS_GOMP)
      string(APPEND pc_kernels_private " -lgomp")
    endif()
  endif()
endif()
foreach(name mcomp-core mcomp-kernels mcomp)
  configure_file(${PROJECT_SOURCE_DIR}/cmake/${name}.pc.in ${PROJECT_BINARY_DIR}/package/${name}.pc @ONLY)
endforeach()
install(FILES ${PROJECT_BINARY_DIR}/package/mcomp-core.pc DESTINATION ${pkgconfig_dir} COMPONENT mcomp_core)
install(FILES ${PROJECT_BINARY_DIR}/package/mcomp-kernels.pc ${PROJECT_BINARY_DIR}/package/mcomp.pc
  DESTINATION ${pkgconfig_dir} COMPONENT mcomp_kernels)
