"""The build of the kernels: a shared library with a plain C interface, the same for every Python and every torch.

Without a compiler for C++17 the installation goes on, and the package computes with torch's own operations.
"""

from __future__ import annotations

import platform
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

SOURCE = Path("src/pushforward/kernels/csrc")
FLAGS = ["-std=c++17", "-O3", "-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden", "-Wno-psabi"]
# The sets of instructions: flags of the compiler, and the width of a vector in bytes.
X86 = {
    "portable": ([], 16),
    "avx2": (["-mavx2", "-mfma"], 32),
    "avx512": (["-march=x86-64-v4", "-mprefer-vector-width=512"], 64),
}
STRIP = ["-s"] if platform.system() == "Linux" else []
OTHER = {"portable": ([], 16)}


class SharedLibrary(build_ext):
    """A shared library that Python does not know, from one object for each set of instructions."""

    def get_ext_filename(self, fullname: str) -> str:
        # A name with a dot, so that nothing takes it for a module of Python.
        package = Path(*fullname.split(".")[:-1])
        return str(package / ("compiled.kernels" + (".dll" if platform.system() == "Windows" else ".so")))

    def get_export_symbols(self, ext: Extension) -> list[str]:
        return []

    def build_extension(self, ext: Extension) -> None:
        try:
            self._build(ext)
        except Exception as error:  # of the compiler, of whatever kind
            self.warn(f"the kernels were not built, and the package runs on torch's own operations: {error}")

    def _build(self, ext: Extension) -> None:
        sets = X86 if platform.machine().lower() in ("x86_64", "amd64") else OTHER
        compile = self.compiler.compile
        objects = compile(
            [str(SOURCE / name) for name in ("library.cpp", "pool.cpp")],
            output_dir=self.build_temp,
            extra_postargs=FLAGS,
        )
        for name, (flags, width) in sets.items():
            objects += compile(
                [str(SOURCE / "instructions.cpp")],
                output_dir=str(Path(self.build_temp) / name),
                macros=[("INSTRUCTIONS", name), ("WIDTH", str(width))],
                extra_postargs=[*FLAGS, *flags],
            )
        self.compiler.link_shared_object(
            objects, self.get_ext_fullpath(ext.name), target_lang="c++", extra_postargs=["-pthread", *STRIP]
        )


class AnyPython(bdist_wheel):
    """A wheel for one platform and any Python: the library does not use Python's interface."""

    def get_tag(self) -> tuple[str, str, str]:
        return "py3", "none", super().get_tag()[2]


setup(
    ext_modules=[Extension("pushforward.kernels._library", [])],
    cmdclass={"build_ext": SharedLibrary, "bdist_wheel": AnyPython},
)
