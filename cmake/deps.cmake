# Third-party packages, each as one imported target deps::NAME. Debian 12 ships them with different manners: some have
# CMake packages, some only pkg-config.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

function(postback_dep name)
	pkg_check_modules(${name} REQUIRED IMPORTED_TARGET ${ARGN})
	add_library(deps::${name} ALIAS PkgConfig::${name})
endfunction()

postback_dep(rabbitmq librabbitmq>=0.11)
postback_dep(event libevent>=2.1 libevent_pthreads>=2.1)
postback_dep(curl libcurl>=7.88)
postback_dep(jansson jansson>=2.14)
postback_dep(yaml yaml-0.1)
postback_dep(sqlite sqlite3>=3.38)
postback_dep(postgres libpq>=14)
postback_dep(openssl libcrypto>=3.0)
postback_dep(tls libssl>=3.0)
postback_dep(cmocka cmocka)
postback_dep(systemd libsystemd)

find_package(wslay REQUIRED)
add_library(deps::wslay ALIAS wslay)

# Debian's package is called msgpack, its C library msgpackc, and its pkg-config file stands for the C++ one.
find_package(msgpack REQUIRED)
add_library(deps::msgpack ALIAS msgpackc)

# libunistring has neither.
find_path(unistring_INCLUDE_DIR unigbrk.h REQUIRED)
find_library(unistring_LIBRARY unistring REQUIRED)
add_library(deps::unistring UNKNOWN IMPORTED)
set_target_properties(deps::unistring PROPERTIES
	IMPORTED_LOCATION "${unistring_LIBRARY}"
	INTERFACE_INCLUDE_DIRECTORIES "${unistring_INCLUDE_DIR}")
