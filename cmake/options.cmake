# The one options target: every target of ours links postback_options and nothing sets flags on its own.
option(POSTBACK_WERROR "Warnings are errors" OFF)
option(POSTBACK_HARDEN "Hardened release flags" OFF)
option(POSTBACK_COVERAGE "Count which lines the tests reach" OFF)
option(POSTBACK_FUZZ "Build the fuzz targets against libFuzzer (clang)" OFF)
set(POSTBACK_SANITIZE "" CACHE STRING "Sanitizers for -fsanitize=, comma separated")

add_library(postback_options INTERFACE)
target_compile_features(postback_options INTERFACE c_std_11)
target_include_directories(postback_options INTERFACE ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR}/generated)
target_compile_definitions(postback_options INTERFACE _GNU_SOURCE POSTBACK_VERSION="${PROJECT_VERSION}")
target_compile_options(postback_options INTERFACE
	-Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wwrite-strings -Wvla
	-Wformat=2 -Wundef -Wno-unused-parameter)
# A service loads only the libraries that it uses: each costs memory and start-up time.
target_link_options(postback_options INTERFACE -Wl,--as-needed)
if(POSTBACK_WERROR)
	target_compile_options(postback_options INTERFACE -Werror)
endif()
if(POSTBACK_SANITIZE)
	target_compile_options(postback_options INTERFACE -fsanitize=${POSTBACK_SANITIZE} -fno-omit-frame-pointer
		-fno-sanitize-recover=all)
	target_link_options(postback_options INTERFACE -fsanitize=${POSTBACK_SANITIZE})
	if(POSTBACK_SANITIZE MATCHES thread)
		target_sources(postback_options INTERFACE ${PROJECT_SOURCE_DIR}/cmake/tsan.c)
	endif()
endif()
if(POSTBACK_HARDEN)
	target_compile_options(postback_options INTERFACE -D_FORTIFY_SOURCE=2 -fstack-protector-strong
		-fstack-clash-protection -fcf-protection -fPIE)
	target_link_options(postback_options INTERFACE -pie -Wl,-z,relro,-z,now,-z,noexecstack)
endif()
if(POSTBACK_COVERAGE)
	target_compile_options(postback_options INTERFACE --coverage)
	target_link_options(postback_options INTERFACE --coverage)
endif()
if(POSTBACK_FUZZ)
	target_compile_options(postback_options INTERFACE -fsanitize=fuzzer-no-link)
endif()

# postback_library(NAME sources… LINK libraries…): a static library of ours.
function(postback_library name)
	cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "LINK")
	add_library(${name} STATIC ${arg_UNPARSED_ARGUMENTS})
	target_link_libraries(${name} PUBLIC postback_options ${arg_LINK})
endfunction()

# postback_program(NAME sources… LINK libraries…): an installed executable.
function(postback_program name)
	cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "LINK")
	add_executable(${name} ${arg_UNPARSED_ARGUMENTS})
	target_link_libraries(${name} PRIVATE postback_options ${arg_LINK})
	set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
	install(TARGETS ${name})
endfunction()

# postback_embed(TARGET FILE NAME): the bytes of a file of the source tree, as NAME[] and NAME_len.
function(postback_embed target file name)
	set(output ${PROJECT_BINARY_DIR}/generated/${name}.c)
	add_custom_command(OUTPUT ${output}
		COMMAND ${CMAKE_COMMAND} -D INPUT=${PROJECT_SOURCE_DIR}/${file} -D OUTPUT=${output} -D NAME=${name}
			-P ${PROJECT_SOURCE_DIR}/cmake/embed.cmake
		DEPENDS ${PROJECT_SOURCE_DIR}/${file} ${PROJECT_SOURCE_DIR}/cmake/embed.cmake VERBATIM)
	target_sources(${target} PRIVATE ${output})
endfunction()
