# Sourced: `as_user COMMAND…` and `as_root COMMAND…` run a command on the project.
#
# In CI (CI=true or CI=1), as root, the first is an ordinary user who is made for it and gets a copy of this clone and of the
# toolchain, since both may lie where only root may look. The packages that this needs are installed there, and nowhere else.
# Everywhere else `as_user` runs the command as whoever calls, in the clone itself, and `as_root` says that it does not.

readonly CI_USER=athanor-ci CI_GROUP=athanor-team
readonly CI_HOME=/home/$CI_USER CI_TOOLCHAIN=/opt/$CI_USER/toolchain
readonly CI_CLONE=$CI_HOME/athanor
readonly CI_PEERS=/opt/$CI_USER/peers

is_ci_as_root() {
    case "${CI:-}" in
        1 | true) [ "$(id -u)" -eq 0 ] ;;
        *) return 1 ;;
    esac
}

# A linker and a compiler for the libraries that tests put in the program's way; clocks that are wrong; a terminal; a cluster; a shell
# that stages may name; Python.
install_packages() {
    local -A package_of=([cc]=gcc [faketime]=faketime [strace]=strace [script]=bsdutils [unshare]=util-linux [runuser]=util-linux
        [useradd]=passwd [slurmctld]=slurm-wlm [munged]=munge [zsh]=zsh)
    local missing=() program
    for program in "${!package_of[@]}"; do
        command -v "$program" > /dev/null || missing+=("${package_of[$program]}")
    done
    # For the tests of reports and of the live page, which skip without it.
    [ -e /usr/bin/chromium ] || missing+=(chromium)
    [ -e /usr/include/stdio.h ] || missing+=(libc6-dev)
    # Another Python than the system's may lie where only root may look.
    /usr/bin/python3 -c 'import ensurepip' 2> /dev/null || missing+=(python3-venv)
    [ ${#missing[@]} -eq 0 ] && return
    apt-get -qq update
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${missing[@]}" > /dev/null
}

# Python's programs that tests hold this one against. Without a Python or its registry these tests skip, and say so.
install_peers() {
    if ! { /usr/bin/python3 -m venv "$CI_PEERS" && "$CI_PEERS/bin/pip" -q install -r tests/requirements-peers.txt; }; then
        rm -rf "$CI_PEERS"
        return
    fi
    chmod -R a+rX "$CI_PEERS"
    ci_environment+=("ATHANOR_PEERS=$CI_PEERS" "ATHANOR_MOTO=$CI_PEERS/bin/moto_server")
}

make_user() {
    getent group $CI_GROUP > /dev/null || groupadd $CI_GROUP
    id $CI_USER > /dev/null 2>&1 || useradd --create-home --gid $CI_GROUP --shell /bin/bash $CI_USER
}

# The pinned toolchain may be there under another name (`stable`), and then it need not be fetched.
find_toolchain() {
    command -v rustup > /dev/null || return 0
    local pinned name
    pinned=$(sed -n 's/^channel = "\(.*\)"$/\1/p' rust-toolchain.toml)
    for name in $(rustup toolchain list | cut -d ' ' -f 1); do
        case "$(rustup run "$name" rustc --version 2> /dev/null)" in
            "rustc $pinned "*) export RUSTUP_TOOLCHAIN=$name ;;
        esac
    done
    cargo fmt --version > /dev/null 2>&1 && cargo clippy --version > /dev/null 2>&1 || rustup component add rustfmt clippy
}

# The toolchain that this clone is built with, where everybody may read it.
share_toolchain() {
    local sysroot
    sysroot=$(rustc --print sysroot)
    mkdir -p $CI_TOOLCHAIN
    tar -C "$sysroot" --exclude=./share/doc -cf - . | tar -C $CI_TOOLCHAIN -xf - --no-same-owner
    chmod -R a+rX /opt/$CI_USER
}

# Fetched as root, who knows the way to the registry; the user's builds need no network.
share_crates() {
    cargo fetch --locked
    local from=${CARGO_HOME:-$HOME/.cargo} to=$CI_HOME/.cargo name
    mkdir -p "$to"
    for name in config.toml config registry git; do
        [ ! -e "$from/$name" ] || cp -R "$from/$name" "$to"
    done
}

copy_clone() {
    mkdir -p $CI_CLONE
    tar --exclude=./target --exclude=./.git -cf - . | tar -C $CI_CLONE -xf - --no-same-owner
    if [ -z "${ATHANOR_SHARED_DATA:-}" ] && [ -d ../shared/data ]; then
        ATHANOR_SHARED_DATA=$(realpath ../shared/data)
        export ATHANOR_SHARED_DATA
    fi
}

# Runs a command in the copy, in an environment that is the same for root and for the user, so that neither rebuilds anything.
in_copy() {
    (cd $CI_CLONE && exec "$@")
}
ci_environment=(env -u TMPDIR -u XDG_CONFIG_HOME -u XDG_CACHE_HOME -u XDG_DATA_HOME -u XDG_RUNTIME_DIR -u RUSTUP_HOME
    -u RUSTUP_TOOLCHAIN -u CARGO_TARGET_DIR -u RUSTC -u CARGO
    CARGO_HOME=$CI_HOME/.cargo CARGO_NET_OFFLINE=true "PATH=$CI_TOOLCHAIN/bin:$PATH")

if is_ci_as_root; then
    umask 022
    install_packages
    install_peers
    make_user
    find_toolchain
    share_toolchain
    share_crates
    copy_clone
    chown -R $CI_USER:$CI_GROUP $CI_HOME
    as_user() { in_copy runuser -u $CI_USER -- "${ci_environment[@]}" HOME=$CI_HOME USER=$CI_USER LOGNAME=$CI_USER "$@"; }
    as_root() { in_copy "${ci_environment[@]}" "$@"; }
else
    as_user() { "$@"; }
    as_root() { echo "skipped, as this is not root in CI: $*"; }
fi
