#!/usr/bin/env python3
"""A server as the exercise has it: one client after another, one message per connection,
and the answer says that the message came. It ends with SIGTERM.

exercise_server.py PORT
"""
import signal
import socket
import sys

PREFIX = "Your message has been received: "


def serve(listener):
    while True:
        connection, address = listener.accept()
        try:
            message = connection.recv(1024).rstrip().decode("utf-8")
            print(f"message from {address[0]}: {message!r}", flush=True)
            connection.send(f"{PREFIX}{message}\n".encode("utf-8"))
        except OSError as error:
            print(f"error: {error}", flush=True)
        finally:
            connection.close()


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", int(sys.argv[1])))
        listener.listen(5)
        serve(listener)


if __name__ == "__main__":
    main()
