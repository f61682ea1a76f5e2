# Writes a C file with the bytes of another one: cmake -D INPUT=… -D OUTPUT=… -D NAME=… -P embed.cmake
file(READ ${INPUT} hex HEX)
string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
file(WRITE ${OUTPUT}
	"#include <stddef.h>\n\nextern const unsigned char ${NAME}[];\nextern const size_t ${NAME}_len;\n"
	"const unsigned char ${NAME}[] = {${bytes}};\nconst size_t ${NAME}_len = sizeof ${NAME};\n")
