"""Which environment variables a child process is handed. Pure.

A list of what may pass, not of what may not: a secret that nobody thought of stays here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

ALWAYS = frozenset(
    {
        "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ",
        "TMPDIR", "TEMP", "TMP", "TERM", "NO_COLOR", "VIRTUAL_ENV", "LD_LIBRARY_PATH",
        "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
        "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
        "KUBECONFIG", "DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CONTEXT", "DOCKER_CERT_PATH",
        "DOCKER_TLS_VERIFY", "DOCKER_API_VERSION",
    }
)  # fmt: skip
PREFIXES = ("HARNESS_", "LC_", "PYTHON", "XDG_", "COVERAGE_")


def handed_on(environment: Mapping[str, str], names: Iterable[str] = ()) -> dict[str, str]:
    """The variables that a child gets: the common ones, ours, and those that were named."""
    wanted = ALWAYS.union(names)
    return {
        name: value
        for name, value in environment.items()
        if name in wanted or name.startswith(PREFIXES)
    }
