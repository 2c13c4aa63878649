"""Servers that are published as jars: what Maven is told, and what is made of the jars."""

from __future__ import annotations

import platform
import shutil
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from harness.errors import StackError

_MACHINES = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64v8", "arm64": "arm64v8"}
#: As binaries for several platforms call this one.
PLATFORM = f"{sys.platform}-{_MACHINES.get(platform.machine(), platform.machine())}"

_POM = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>harness</groupId><artifactId>server</artifactId><version>1</version>
  <packaging>pom</packaging>
  <dependencies>{}</dependencies>
</project>
"""
_DEPENDENCY = (
    "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency>"
)

#: Like kafka-run-class.sh, as far as we need it: the first argument is the class to run. Java is
#: that of JAVA_HOME, or on PATH, or beside it in our cache.
_RUN_CLASS = """\
#!/bin/sh
here=${0%/*}/..
if [ -n "$JAVA_HOME" ]; then java=$JAVA_HOME/bin/java
elif command -v java >/dev/null; then java=java
else java=$here/../java/bin/java; fi
exec "$java" ${KAFKA_HEAP_OPTS--Xmx256m} $KAFKA_LOG4J_OPTS -cp "$here/libs/*" "$@"
"""


def pom(artifacts: Iterable[str]) -> str:
    """A project that needs these artifacts, ``group:artifact:version`` each."""
    return _POM.format("".join(_DEPENDENCY.format(*a.split(":")) for a in artifacts))


def _classpath(jars: Path, folder: Path, name: str) -> None:
    """All jars as a class path, and a program that runs a class from it."""
    jars.rename(folder / "libs")
    program = folder / "bin" / name
    program.write_text(_RUN_CLASS)
    program.chmod(0o755)


def _archive(jars: Path, folder: Path, _: str) -> None:
    """The one archive in the one jar, unpacked: ``bin``, ``lib`` and ``share``."""
    (jar,) = jars.glob("*.jar")
    with zipfile.ZipFile(jar) as packed:
        names = [name for name in packed.namelist() if name.endswith(".txz")]
        if len(names) != 1:
            raise StackError(f"{jar.name} holds {len(names)} archives instead of one")
        with packed.open(names[0]) as stream, tarfile.open(fileobj=stream, mode="r:xz") as archive:
            archive.extractall(folder, filter="data")
    shutil.rmtree(jars)


#: Of the jars in a folder, into a folder, a program of this name.
UNPACK: Mapping[str, Callable[[Path, Path, str], None]] = {
    "classpath": _classpath,
    "archive": _archive,
}
