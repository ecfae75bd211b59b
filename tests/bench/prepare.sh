# What tests/bench/run and tests/bench/soak need before they measure: packages,
# a build, users. Sourced; sets TOP and PYTHON and exports where things are.
. "$(dirname -- "${BASH_SOURCE[0]}")/../../scripts/lib.sh"

TEST_BASE=/srv/amy-test # where other users may come
TARGETS=(amy-front amy-workers amyctl bench_backend bench_redis_load amy_load)

need_packages "${BUILD_PACKAGES[@]}" libcmocka-dev "${SITE_PACKAGES[@]}" \
    nginx-light haproxy wrk util-linux procps
say "building"
build_release
(cd "$TOP" && cmake --preset release -DBUILD_TESTING=ON >/dev/null &&
    cmake --build --preset release -j "$JOBS" --target "${TARGETS[@]}" | tail -n 1)
if is_root; then
    PYTHONPATH=$TOP/scripts "$PYTHON" -c \
        'from hosting import users; users.create_missing()'
    install -d -m 755 "$TEST_BASE"
fi
AMY_BIN=$(usable_build release "$TEST_BASE")
export AMY_BIN AMY_LOAD_BUILD=$TOP/build/release
