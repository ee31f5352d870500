/* fuzz_conf.c - any bytes as a configuration. It must end, and either be read or be reported. */
#include "../../control/conf.h"

#include "../../dataplane/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void report(void *arg, const char *line)
{
	CHECK(strlen(line) > 0);
	(*(int *)arg)++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int n_errors = 0;
	struct conf *c = conf_parse("fuzz", (const char *)data, size, report, &n_errors);

	CHECK((c != NULL) == (n_errors == 0));
	conf_free(c);
	return 0;
}
