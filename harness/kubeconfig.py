"""What a kubeconfig says of the cluster that a context leads to. Reads files and asks nobody."""

from __future__ import annotations

import os

from harness.cluster_guards import ClusterEntry
from harness.errors import InvalidError
from harness.kubernetes_api import INSTALL


def entry_of(context: str, kubeconfig: str = "") -> ClusterEntry:
    """The entry of a context's cluster, read as the connection to it will be.

    Args:
        context: Its name.
        kubeconfig: Path of the file; empty takes ``KUBECONFIG`` or the default one.

    Raises:
        InvalidError: The package is missing, or there is no such context or cluster.
    """
    try:
        from kubernetes.config import ConfigException, kube_config  # noqa: PLC0415 - an extra, slow
        from yaml import YAMLError  # type: ignore[import-untyped] # noqa: PLC0415 - comes with it
    except ImportError as error:
        raise InvalidError("The package `kubernetes` is missing.", INSTALL) from error
    path = kubeconfig or os.environ.get("KUBECONFIG") or kube_config.KUBE_CONFIG_DEFAULT_LOCATION
    try:
        merged = kube_config.KubeConfigMerger(path).config  # type: ignore[no-untyped-call]
        if merged is None:
            raise ValueError(f"there is no kubeconfig at {path}")
        name = merged["contexts"].get_with_name(context)["context"]["cluster"]
        server = merged["clusters"].get_with_name(name)["cluster"]["server"]
        if not isinstance(name, str) or not isinstance(server, str):
            raise TypeError("the server of its cluster is no text")
    except (ConfigException, YAMLError, OSError, ValueError, TypeError, AttributeError) as error:
        raise InvalidError(
            f"The context {context!r} cannot be used: {error}.",
            "`kubectl config get-contexts` lists those that there are.",
        ) from error
    return ClusterEntry(context=context, name=name, server=server)
