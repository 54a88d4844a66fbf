#!/bin/sh
# Remove from an environment what no image needs at run time. The sizes are those of the trainer.
set -eu
cd "$1"/lib/python3*/site-packages

# The asynchronous twin of the Kubernetes client, which nothing imports: 41 MB, and as bytecode 22.
rm -rf kubernetes/aio
# Ray's API for Java: 35 MB.
rm -rf ray/jars
# Headers and archives, to compile extensions with: 275 MB.
rm -rf tensorflow/include pyarrow/include
find . -name '*.a' -delete
# The libraries' own tests: 30 MB, and as much as bytecode.
find . -type d -name tests -prune -exec rm -rf {} +
# Symbols that only a debugger reads: 360 MB. What a program links to stays. NVIDIA's libraries are
# left as they are. So are those in *.libs: patched libraries are known to break.
find . -name '*.so*' -type f -not -path '*.libs/*' -not -path './nvidia/*' -exec strip --strip-unneeded {} +
