"""``lab serve`` for others: who may come in, by which address, and how much each may have. See docs/serving.md."""

import argparse
import json
import math
import os
from typing import Any

from .parser import Parser, Refusal

_LIMITS = {
    "pages": "open pages",
    "uploads": "MiB of uploads and own data",
    "seconds": "seconds of computing in an hour",
}
_LOGIN = ("basic_auth", "oauth_provider", "oauth_key", "oauth_secret", "oauth_redirect_uri", "oauth_encryption_key")


def options(parser: Parser) -> None:
    """What ``lab serve`` takes beside files, host and port."""
    parser.add_argument(
        "--address",
        metavar="HOST[:PORT]",
        action="append",
        help="as browsers see it, behind a proxy say; may be repeated",
    )
    parser.add_argument("--token", help="what a visitor must show; made for a public host (also: LAB_TOKEN)")
    parser.add_argument("--no-token", action="store_true", help="let anyone in")
    parser.add_argument(
        "--basic-auth", metavar="PASSWORD|FILE", help="a password, or a JSON file of users, as in Panel"
    )
    for name in (*_LOGIN[1:], "oauth_extra_params", "cookie_secret"):
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="TEXT", help="as in Panel")
    parser.add_argument("--behind-proxy", action="store_true", help="take visitors' addresses from the proxy's headers")
    for name, what in _LIMITS.items():
        parser.add_argument(f"--{name}", type=float, metavar="N", help=f"{what} of a visitor")
        parser.add_argument(f"--{name}-all", type=float, metavar="N", help=f"{what} of all together")
    parser.add_argument(
        "--size", type=float, metavar="N", help="size of a run, in times beyond the ends of the sliders"
    )
    parser.add_argument(
        "--memory",
        type=float,
        metavar="GiB",
        help="above, compiled programs are let go of; 1.5 GB, or a quarter of the machine",
    )
    parser.add_argument("--cells", type=float, metavar="N", help="cells of a sweep")


def settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """The same as arguments of ``lab.app.serve``."""
    from lab.app import limits, login
    from lab.app.gate import checked_address, is_public

    if arguments.basic_auth is not None:
        login.users(arguments.basic_auth)
    auth = {name: value for name in _LOGIN if (value := getattr(arguments, name))}
    if not auth.get("basic_auth") and not auth.get("oauth_provider"):
        if auth or arguments.oauth_extra_params:
            raise Refusal("--oauth-... goes with --oauth-provider: say which, as github or google")
        auth = {}
    elif arguments.token or arguments.no_token:
        raise Refusal("--token and --no-token are for a server without a login: leave them out")
    if auth and arguments.oauth_extra_params:
        try:
            auth["oauth_extra_params"] = dict(json.loads(arguments.oauth_extra_params))
        except (ValueError, TypeError):
            raise Refusal("--oauth-extra-params must be a JSON object") from None
    if auth and arguments.cookie_secret:
        auth["cookie_secret"] = arguments.cookie_secret
    token = "" if arguments.no_token or auth else arguments.token or os.environ.get("LAB_TOKEN") or None
    if token and len(token) < 16:
        raise Refusal("--token is too short to be safe: give at least 16 characters, or leave it out")
    address = [checked_address(each) for each in arguments.address or ()]
    if arguments.memory is not None and not 0 < arguments.memory < math.inf:
        raise Refusal(f"--memory {arguments.memory} is not allowed: it must be a number of GiB above 0")
    given = {name: getattr(arguments, name) for name in limits.NAMES}
    base = limits.PUBLIC if is_public(arguments.host, address) else limits.LOCAL
    return {
        "address": arguments.address,
        "token": token,
        "auth": auth or None,
        "proxy": arguments.behind_proxy,
        "limits": base.but(**given),
        "memory": None if arguments.memory is None else int(arguments.memory * 2**30),
    }
