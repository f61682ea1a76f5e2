#include "proto/name.h"

static bool is_alnum(uint8_t c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool name_is_valid(struct slice name)
{
	if (name.len == 0 || name.len > NAME_MAX_LEN || !is_alnum(name.data[0]))
		return false;
	for (size_t i = 1; i < name.len; i++) {
		uint8_t c = name.data[i];

		if (!is_alnum(c) && c != '_' && c != '.' && c != '-')
			return false;
	}
	return true;
}
