"""A login with a password: one for all, or one for each user."""

import hmac
import json
import os
from hashlib import sha256

from panel.auth import BasicAuthProvider, BasicLoginHandler


def users(given: str) -> dict[str, str] | str:
    """The passwords by user of a JSON file, or the one password that was given; ValueError where it is neither."""
    is_file = given.lower().endswith(".json") or os.path.isfile(given)
    if not is_file and not any(mark and mark in given for mark in ("/", os.sep, os.altsep)):
        if not given.strip():
            raise ValueError("--basic-auth is empty: give a password, or a JSON file of users")
        return given
    try:
        with open(given, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError, RecursionError):
        found = None
    texts = isinstance(found, dict) and all(isinstance(text, str) and text for pair in found.items() for text in pair)
    if not found or not texts:
        raise ValueError(
            f"--basic-auth {given[-60:]} is no JSON file of users: give one that can be read, with "
            '{"user": "password", ...}, or a password without a slash'
        )
    return found


class Login(BasicLoginHandler):
    """Panel's, with passwords compared in constant time and tries that the gate counts."""

    def _validate(self, username: str, password: str) -> bool:
        gate = self.settings["lab_gate"]
        known = gate.access.users
        expected = known if isinstance(known, str) else known.get(username, "")  # no password is empty
        same = hmac.compare_digest(*(sha256(text.encode(errors="replace")).digest() for text in (expected, password)))
        if same and expected:
            gate.right(self.request)
        return same and bool(expected)


class Provider(BasicAuthProvider):
    """Panel's provider of a login and a logout page, with our login."""

    @property
    def login_handler(self):
        Login._login_endpoint, Login._login_template = self._login_endpoint, self._login_template
        return Login
