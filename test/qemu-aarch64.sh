#!/bin/sh
# Stands for a program for aarch64 that lies in bin/ beside it, and runs it under qemu-user.
exec qemu-aarch64 "${0%/*}/bin/${0##*/}" "$@"
