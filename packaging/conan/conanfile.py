"""Conan 2 recipe of the checkout it lies in: conan create packaging/conan"""
import os
import re

from conan import ConanFile
from conan.tools.build import check_min_cppstd
from conan.tools.files import copy, load


class Tern(ConanFile):
    name = "tern"
    description = "Ternary (1.58-bit) quantization and distillation of language models"
    license = "MIT"
    package_type = "header-library"
    settings = "os", "arch", "compiler", "build_type"
    options = {"io": [True, False], "text": [True, False], "train": [True, False]}
    default_options = {"io": False, "text": False, "train": False}
    no_copy_source = True

    @property
    def _root(self):
        return os.path.join(self.recipe_folder, "..", "..")

    def set_version(self):
        header = load(self, os.path.join(self._root, "include", "tern", "version.hpp"))
        self.version = ".".join(re.findall(r"define TERN_VERSION_\w+ (\d+)", header))

    def export_sources(self):
        copy(self, "include/*", self._root, self.export_sources_folder)
        copy(self, "LICENSE", self._root, self.export_sources_folder)

    def _has(self, part):
        return bool(self.options.get_safe(part) or self.options.train)

    def requirements(self):
        self.requires("eigen/[>=3.4]", transitive_headers=True)
        self.requires("xsimd/[>=8.1]", transitive_headers=True)
        if self._has("io") or self._has("text"):
            self.requires("nlohmann_json/[>=3.11]", transitive_headers=True)
        if self._has("io"):
            self.requires("zlib/[>=1.2]", transitive_headers=True)
        if self._has("text"):
            self.requires("pcre2/[>=10.40]", transitive_headers=True)
            self.requires("utf8proc/[>=2.7]", transitive_headers=True)

    def validate(self):
        check_min_cppstd(self, 20)

    def package_id(self):
        self.info.clear()

    def package(self):
        copy(self, "*", os.path.join(self.source_folder, "include"), os.path.join(self.package_folder, "include"))
        copy(self, "LICENSE", self.source_folder, os.path.join(self.package_folder, "licenses"))

    def package_info(self):
        self.cpp_info.set_property("cmake_file_name", "tern")
        parts = {"tern": ["eigen::eigen", "xsimd::xsimd"]}
        if self._has("io"):
            parts["io"] = ["tern", "nlohmann_json::nlohmann_json", "zlib::zlib"]
        if self._has("text"):
            parts["text"] = ["tern", "nlohmann_json::nlohmann_json", "pcre2::pcre2-8", "utf8proc::utf8proc"]
        if self.options.train:
            parts["train"] = ["io", "text"]
        for name, requires in parts.items():
            part = self.cpp_info.components[name]
            part.set_property("cmake_target_name", f"tern::{name}")
            part.requires = requires
            part.bindirs = part.libdirs = []
            if self.settings.os in ("Linux", "FreeBSD"):
                part.system_libs = ["pthread"]
