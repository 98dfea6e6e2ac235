# SPDX-License-Identifier: GPL-2.0-only OR MIT
"""Turns a tar archive on standard input into a stream for `git fast-import`: one commit, always the same one.

Many times faster than unpacking and adding: nothing is written but one pack.
"""

import argparse
import sys
import tarfile

WHO = b"peerbar <peerbar@localhost> 946684800 +0000"


def path_of(name, strip):
    parts = [p for p in name.split("/") if p not in ("", ".")]
    return "/".join(parts[strip:])


def quoted(path):
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return b'"' + escaped.encode("utf-8", "surrogateescape") + b'"'


def file_change(archive, member, path):
    """The fast-import command for one member, or nothing for what git does not keep."""
    if member.issym():
        mode, data = b"120000", member.linkname.encode("utf-8", "surrogateescape")
    elif member.isfile() or member.islnk():
        mode = b"100755" if member.mode & 0o100 else b"100644"
        data = archive.extractfile(member).read()
    else:
        return b""
    return b"M %s inline %s\ndata %d\n%s\n" % (mode, quoted(path), len(data), data)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strip", type=int, default=0, help="leading path components to drop")
    parser.add_argument("--message", required=True)
    args = parser.parse_args()
    out = sys.stdout.buffer
    message = args.message.encode()
    out.write(b"commit refs/heads/base\ncommitter %s\ndata %d\n%s\n" % (WHO, len(message), message))
    with tarfile.open(fileobj=sys.stdin.buffer, mode="r|") as archive:
        for member in archive:
            path = path_of(member.name, args.strip)
            if path and not path.startswith(".git/"):
                out.write(file_change(archive, member, path))
    out.write(b"\n")


if __name__ == "__main__":
    main()
