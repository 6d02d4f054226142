#!/bin/sh
# Fetch 3Dmol.js (BSD-3-Clause) with npm, for the 3D view of the report.
#
#     sh scripts/fetch_3dmol.sh
#
# It lands, with its licence, in src/ladera/report/assets/, which git ignores and a wheel contains.
set -eu

version=2.5.5
root=$(cd "$(dirname "$0")/.." && pwd)
assets="$root/src/ladera/report/assets"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

command -v npm >/dev/null || { echo "fetch_3dmol.sh: npm is not installed (apt-get install npm)." >&2; exit 1; }
cd "$work"
npm pack --silent --ignore-scripts "3dmol@$version" >/dev/null
tar -xzf "3dmol-$version.tgz"
head -n 1 package/LICENSE | grep -q 3Dmol && grep -q BSD-3-Clause package/LICENSE || {
  echo "fetch_3dmol.sh: the licence of 3dmol $version is not the one expected; look at it first." >&2
  exit 1
}
# The script goes last: where it is, its licence is.
cp package/LICENSE "$assets/3Dmol-LICENSE.txt"
cp package/build/3Dmol-min.js "$assets/.3Dmol-min.js"
mv "$assets/.3Dmol-min.js" "$assets/3Dmol-min.js"
echo "3Dmol.js $version is in $assets"
