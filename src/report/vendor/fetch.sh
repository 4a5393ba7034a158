#!/usr/bin/env bash
# Fetches the library of the report's page from the npm registry, checks it against its digest, and puts the files that are embedded
# here. To take a newer version, change its line: `npm view NAME@VERSION dist.integrity` says the digest.
set -euo pipefail
cd "$(dirname "$0")"

fetch() {
    local address=$1 digest=$2 folder
    shift 2
    folder=$(mktemp -d)
    curl --silent --show-error --fail --location "$address" --output "$folder/package.tgz"
    [ "$(openssl dgst -sha512 -binary "$folder/package.tgz" | base64 --wrap=0)" = "$digest" ] || {
        echo "$address is not what was expected" >&2
        exit 1
    }
    tar -C "$folder" -xzf "$folder/package.tgz"
    while [ $# -gt 0 ]; do
        cp "$folder/package/$1" "$2"
        chmod 644 "$2"
        shift 2
    done
    rm -r "$folder"
}

fetch https://registry.npmjs.org/uplot/-/uplot-1.6.32.tgz \
    KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTXImkbLgkMy+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw== \
    dist/uPlot.iife.min.js uPlot.iife.min.js dist/uPlot.min.css uPlot.min.css LICENSE uPlot.LICENSE
