import os
import re

from conan import ConanFile
from conan.errors import ConanInvalidConfiguration
from conan.tools.build import check_min_cppstd
from conan.tools.cmake import CMake, CMakeDeps, CMakeToolchain, cmake_layout
from conan.tools.files import copy, load, rmdir, save
from conan.tools.scm import Version

required_conan_version = ">=2.0.9"

_system_dependencies = "lib/cmake/mcomp-system-dependencies.cmake"
_find_system_dependencies = """find_package(fmt REQUIRED)
find_package(Eigen3 REQUIRED NO_MODULE)
target_link_libraries(mcomp::core INTERFACE fmt::fmt Eigen3::Eigen)
"""
_find_workflow_dependencies = """find_package(SQLite3 REQUIRED)
find_package(OpenSSL REQUIRED COMPONENTS Crypto)
target_link_libraries(mcomp::workflow INTERFACE SQLite::SQLite3 OpenSSL::Crypto)
"""
_find_postgresql = """find_package(PostgreSQL REQUIRED)
target_link_libraries(mcomp::workflow INTERFACE PostgreSQL::PostgreSQL)
"""


class McompConan(ConanFile):
    name = "mcomp"
    description = "Embeddable SDK for continuous model compression: quantization, pruning, calibration, int8 execution, cost"
    license = "Apache-2.0"
    homepage = "https://github.com/mcomp/mcomp"
    url = homepage
    topics = ("model-compression", "quantization", "pruning", "inference", "onednn")
    package_type = "library"
    settings = "os", "arch", "compiler", "build_type"
    # Conan Center has no recipe for oneDNN. with_onednn=True takes the one that CMake finds on the machine: installed
    # in the usual places (Debian: libdnnl-dev), or below the prefix that the environment variable dnnl_ROOT names, for
    # instance from the [buildenv] of a profile. Consumers of the static library need it in the same place.
    options = {"shared": [True, False], "fPIC": [True, False], "with_onednn": [True, False],
               "with_workflow": [True, False], "with_postgresql": [True, False]}
    default_options = {"shared": False, "fPIC": True, "with_onednn": False, "with_workflow": True,
                       "with_postgresql": False}
    implements = ["auto_shared_fpic"]
    no_copy_source = True
    exports_sources = "CMakeLists.txt", "LICENSE", "cmake/*", "include/*", "src/*", "!cmake/packaging/*"
    test_package_folder = "cmake/packaging/conan/test_package"

    def set_version(self):
        text = load(self, os.path.join(self.recipe_folder, "CMakeLists.txt"))
        self.version = re.search(r"project\(mcomp VERSION ([0-9.]+)", text).group(1)

    def layout(self):
        cmake_layout(self)

    def requirements(self):
        self.requires("fmt/[>=9 <13]", transitive_headers=True, transitive_libs=True)
        self.requires("eigen/[>=3.4 <6]", transitive_headers=True)
        self.requires("nlohmann_json/[>=3.11 <4]", visible=False)
        if self.options.with_workflow:
            self.requires("sqlite3/[>=3.24 <4]")
            self.requires("openssl/[>=1.1.1 <4]")
        if self.options.with_postgresql:
            self.requires("libpq/[>=14 <19]")

    def validate(self):
        if self.settings.os == "Windows":
            raise ConanInvalidConfiguration("mcomp needs a POSIX system")
        if self.options.with_postgresql and not self.options.with_workflow:
            raise ConanInvalidConfiguration("with_postgresql is a part of with_workflow")
        check_min_cppstd(self, 20)
        oldest = {"gcc": "12", "clang": "14", "apple-clang": "15"}.get(str(self.settings.compiler))
        if oldest and Version(self.settings.compiler.version) < oldest:
            raise ConanInvalidConfiguration(f"mcomp needs {self.settings.compiler} {oldest} or newer")

    def generate(self):
        CMakeDeps(self).generate()
        toolchain = CMakeToolchain(self)
        toolchain.cache_variables["MCOMP_WITH_ONEDNN"] = bool(self.options.with_onednn)
        toolchain.cache_variables["MCOMP_REQUIRE_ONEDNN"] = bool(self.options.with_onednn)
        toolchain.cache_variables["MCOMP_WITH_WORKFLOW"] = bool(self.options.with_workflow)
        toolchain.cache_variables["MCOMP_WITH_POSTGRESQL"] = bool(self.options.with_postgresql)
        toolchain.cache_variables["MCOMP_REQUIRE_POSTGRESQL"] = bool(self.options.with_postgresql)
        for part in ("TESTS", "EXAMPLES", "BENCH"):
            toolchain.cache_variables[f"MCOMP_BUILD_{part}"] = False
        toolchain.generate()

    def build(self):
        cmake = CMake(self)
        cmake.configure()
        cmake.build()

    def package(self):
        copy(self, "LICENSE", self.source_folder, os.path.join(self.package_folder, "licenses"))
        CMake(self).install()
        # What CMakeDeps and PkgConfigDeps generate from package_info takes their place.
        for folder in (("lib", "cmake"), ("lib", "pkgconfig"), ("share",)):
            rmdir(self, os.path.join(self.package_folder, *folder))
        linked_by_consumer = self.options.with_workflow and not self.options.shared
        save(self, os.path.join(self.package_folder, _system_dependencies),
             _find_system_dependencies + (_find_workflow_dependencies if linked_by_consumer else "") +
             (_find_postgresql if linked_by_consumer and self.options.with_postgresql else ""))

    def package_info(self):
        self.cpp_info.set_property("cmake_file_name", "mcomp")
        self.cpp_info.set_property("cmake_target_name", "mcomp::mcomp")
        self.cpp_info.set_property("pkg_config_name", "mcomp")

        core = self.cpp_info.components["core"]
        core.set_property("cmake_target_name", "mcomp::core")
        core.set_property("pkg_config_name", "mcomp-core")
        core.libs = ["mcomp_core"]
        packages = {dependency.ref.name for dependency in self.dependencies.direct_host.values()}
        if packages >= {"fmt", "eigen"}:
            core.requires = ["fmt::fmt", "eigen::eigen"]
        else:  # taken from the system by [platform_requires] of the profile: there is no package to link to
            self.cpp_info.set_property("cmake_build_modules", [_system_dependencies])
            if self.settings.os in ("Linux", "FreeBSD"):
                core.system_libs.append("fmt")

        kernels = self.cpp_info.components["kernels"]
        kernels.set_property("cmake_target_name", "mcomp::kernels")
        kernels.set_property("pkg_config_name", "mcomp-kernels")
        kernels.libs = ["mcomp_kernels"]
        kernels.requires = ["core"]

        if self.options.with_workflow:
            workflow = self.cpp_info.components["workflow"]
            workflow.set_property("cmake_target_name", "mcomp::workflow")
            workflow.set_property("pkg_config_name", "mcomp-workflow")
            workflow.libs = ["mcomp_workflow"]
            workflow.requires = ["core"]
            if packages >= {"sqlite3", "openssl"}:
                workflow.requires += ["sqlite3::sqlite3", "openssl::crypto"]
            elif self.settings.os in ("Linux", "FreeBSD") and not self.options.shared:
                workflow.system_libs.extend(["sqlite3", "crypto"])
            if self.options.with_postgresql and "libpq" in packages:
                workflow.requires.append("libpq::libpq")
            elif self.options.with_postgresql and not self.options.shared:
                workflow.system_libs.append("pq")

        if not self.options.shared:
            core.defines = ["MCOMP_STATIC_DEFINE"]
            if self.settings.os in ("Linux", "FreeBSD"):
                core.system_libs.extend(["m", "pthread"])
            if self.options.with_onednn:
                kernels.system_libs = ["dnnl", "gomp"]
