#!/bin/sh
# Runs the tests that need Tencent's own library. It is not ours to ship: SDK names the operator's copy, or the one inside a public
# Python package is fetched into a cache outside git and checked against the digests below.
#
#   infra/ci/test-sdk.sh [PATH]     the path may also come as SDK=PATH
#
# Exit: 0 passed; 0 with a line that begins "SKIP:" if the package registry can't be reached; else 1.
set -eu
cd "$(dirname "$0")/../.."

package=pyweworkfinance
version=1.1.0
x86=79ced4de6b18d5e96a21cd06f325794dc8957f8925120538d56d4ce827d3dfd0
arm=5d6bbea2cec395fdd17edc912fb08b9d13e010de879bbfa1256c204d3d7fc3cb

same() { [ -f "$1" ] && [ "$(sha256sum "$1" | cut -d' ' -f1)" = "$2" ]; }

sdk=${1:-${SDK:-}}
other=
if [ -n "$sdk" ]; then
	[ -f "$sdk" ] || { echo "test-sdk: there is no file at $sdk: give the path of libWeWorkFinanceSdk_C.so" >&2; exit 1; }
	sdk=$(cd "$(dirname "$sdk")" && pwd)/$(basename "$sdk")
else
	cache=${XDG_CACHE_HOME:-$PWD/.cache}/wecomvault/sdk/$version
	libs=$cache/$package/libs/linux
	if ! same "$libs/libWeWorkFinanceSdk_C_x86.so" $x86 || ! same "$libs/libWeWorkFinanceSdk_C_arm.so" $arm; then
		rm -rf "$cache"
		mkdir -p "$cache"
		if ! python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --dest "$cache" "$package==$version" >"$cache/pip.log" 2>&1; then
			cat "$cache/pip.log" >&2
			if grep -q -i -E 'NewConnectionError|ConnectTimeout|ReadTimeout|name resolution|ProxyError|unreachable|Connection refused' "$cache/pip.log"; then
				echo "SKIP: the package registry can't be reached, so there is no library to test with; SDK=PATH names one"
				exit 0
			fi
			echo "test-sdk: $package $version can't be fetched" >&2
			exit 1
		fi
		(cd "$cache" && python3 -m zipfile -e "$package-$version-"*.whl .)
	fi
	same "$libs/libWeWorkFinanceSdk_C_x86.so" $x86 && same "$libs/libWeWorkFinanceSdk_C_arm.so" $arm || {
		echo "test-sdk: what $package $version carries is not the library that was examined; nothing was loaded" >&2
		exit 1
	}
	case $(uname -m) in
	x86_64) sdk=$libs/libWeWorkFinanceSdk_C_x86.so other=$libs/libWeWorkFinanceSdk_C_arm.so ;;
	aarch64) sdk=$libs/libWeWorkFinanceSdk_C_arm.so other=$libs/libWeWorkFinanceSdk_C_x86.so ;;
	*) echo "test-sdk: the library exists for x86_64 and aarch64, not for $(uname -m)" >&2; exit 1 ;;
	esac
fi

WECOMVAULT_TEST_SDK=$sdk WECOMVAULT_TEST_SDK_OTHER=$other exec go test -count=1 -timeout 120s -run '^TestRealLibrary' -v ./shared/financesdk
