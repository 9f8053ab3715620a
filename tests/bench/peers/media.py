"""Gives the files of a folder as fast as the kernel can: `python -m tests.bench.peers.media FOLDER PORT`."""

import os
import socket
import sys
import threading
from pathlib import Path


def main() -> None:
    """Serve until SIGTERM."""
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    with socket.create_server(("127.0.0.1", port)) as door:
        while True:
            caller, _ = door.accept()
            threading.Thread(target=_answer, args=(caller, folder), daemon=True).start()


def _answer(caller: socket.socket, folder: Path) -> None:
    with caller, caller.makefile("rb") as said:
        asked = said.readline().split()
        while said.readline().strip():
            pass
        if not asked:
            return
        wanted = folder / Path(asked[1].decode()).name
        if not wanted.is_file():
            # Whoever started this asks for anything at all until it is answered.
            caller.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        with wanted.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            head = (
                f"HTTP/1.1 200 OK\r\nContent-Type: audio/wav\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n"
            )
            caller.sendall(head.encode())
            caller.sendfile(file)


if __name__ == "__main__":
    main()
