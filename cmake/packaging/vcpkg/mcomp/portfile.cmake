# -DMCOMP_SOURCE_DIR=FOLDER, handed over by --x-cmake-args, builds a local source tree instead of the released archive.
if(DEFINED MCOMP_SOURCE_DIR)
    set(SOURCE_PATH "${MCOMP_SOURCE_DIR}")
else()
    # The archive that cmake/packaging/release.sh makes, which writes its checksum here.
    vcpkg_download_distfile(ARCHIVE
        URLS "https://github.com/mcomp/mcomp/releases/download/v${VERSION}/mcomp-${VERSION}.tar.gz"
        FILENAME "mcomp-${VERSION}.tar.gz"
        SHA512 0
    )
    vcpkg_extract_source_archive(SOURCE_PATH ARCHIVE "${ARCHIVE}")
endif()

vcpkg_check_features(OUT_FEATURE_OPTIONS FEATURE_OPTIONS
    FEATURES
        onednn MCOMP_WITH_ONEDNN
        onednn MCOMP_REQUIRE_ONEDNN
        postgresql MCOMP_WITH_POSTGRESQL
        postgresql MCOMP_REQUIRE_POSTGRESQL
        workflow MCOMP_WITH_WORKFLOW
)

vcpkg_cmake_configure(
    SOURCE_PATH "${SOURCE_PATH}"
    OPTIONS
        ${FEATURE_OPTIONS}
        -DMCOMP_BUILD_BENCH=OFF
        -DMCOMP_BUILD_EXAMPLES=OFF
        -DMCOMP_BUILD_TESTS=OFF
        -DMCOMP_INSTALL=ON
)
vcpkg_cmake_install()
vcpkg_cmake_config_fixup(CONFIG_PATH lib/cmake/mcomp)
vcpkg_fixup_pkgconfig()

file(REMOVE_RECURSE
    "${CURRENT_PACKAGES_DIR}/debug/include"
    "${CURRENT_PACKAGES_DIR}/debug/share"
    "${CURRENT_PACKAGES_DIR}/share/doc"
)
file(INSTALL "${CMAKE_CURRENT_LIST_DIR}/usage" DESTINATION "${CURRENT_PACKAGES_DIR}/share/${PORT}")
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE")
