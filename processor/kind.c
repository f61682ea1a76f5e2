#include "processor/kind.h"

static const struct handler_kind *const kinds[] = {
	&kind_exec,
	&kind_worker,
	&kind_http,
	&kind_plugin,
	&kind_builtin,
};

const struct handler_kind *kind_of(const struct handler_options *o, unsigned *chosen)
{
	const struct handler_kind *found = NULL;

	*chosen = 0;
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		if (!kinds[i]->is_chosen(o))
			continue;
		found = kinds[i];
		(*chosen)++;
	}
	return found;
}
