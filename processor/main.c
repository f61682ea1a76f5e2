#include "processor/processor.h"

int main(int argc, char **argv)
{
	return service_main(argc, argv, &processor_definition);
}
