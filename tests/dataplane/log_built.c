/* log_built.c - lines below a level are not compiled: what they would call is not there, so that
 * the program could not even be linked. */
#undef TELA_LOG_BUILT
#define TELA_LOG_BUILT TELA_LOG_WARN
#include "tela_log.h"

#include "log_built.h"

uint32_t defined_nowhere(void);

void log_built(const struct tela_call *call, const struct tela_log *log)
{
	tela_log(call, TELA_LOG_ERROR, "built in: error");
	tela_log(call, TELA_LOG_WARN, "built in: warn");
	tela_log(call, TELA_LOG_INFO, "left out: info %u", defined_nowhere());
	tela_log(call, TELA_LOG_DEBUG, "left out: debug %u", defined_nowhere());
	tela_log_of(log, NULL, TELA_LOG_WARN, "built in: warn of an instance");
	tela_log_of(log, NULL, TELA_LOG_INFO, "left out: info %u", defined_nowhere());
}
