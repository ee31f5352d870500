#include "running.h"

#include "../dataplane/base.h"

const char *const admin_status_names[] = {"active", "pause", "inactive", NULL};

const struct running_move running_moves[] = {
	{TELA_SERVICE_UNKNOWN, TELA_SERVICE_STARTING, "the node starts"},
	{TELA_SERVICE_UNKNOWN, TELA_SERVICE_STOPPED, "the node starts, and it shall be inactive"},
	{TELA_SERVICE_STARTING, TELA_SERVICE_RUNNING, "every start hook has returned"},
	{TELA_SERVICE_STARTING, TELA_SERVICE_PAUSING,
		"every start hook has returned, and it shall pause"},
	{TELA_SERVICE_STARTING, TELA_SERVICE_FAILED, "a plugin cannot be had, or its hook failed"},
	{TELA_SERVICE_RUNNING, TELA_SERVICE_PAUSING, "pause"},
	{TELA_SERVICE_PAUSING, TELA_SERVICE_PAUSED, "new calls are refused"},
	{TELA_SERVICE_PAUSED, TELA_SERVICE_STARTING, "activate"},
	{TELA_SERVICE_RUNNING, TELA_SERVICE_STOPPING, "deactivate"},
	{TELA_SERVICE_PAUSED, TELA_SERVICE_STOPPING, "deactivate"},
	{TELA_SERVICE_FAILED, TELA_SERVICE_STOPPING, "deactivate"},
	{TELA_SERVICE_STOPPING, TELA_SERVICE_STOPPED, "every stop hook has returned"},
	{TELA_SERVICE_STOPPED, TELA_SERVICE_STARTING, "activate or pause"},
	{TELA_SERVICE_RUNNING, TELA_SERVICE_FAILED, "the workers of a plugin ended too often"},
	{TELA_SERVICE_PAUSED, TELA_SERVICE_FAILED, "the workers of a plugin ended too often"},
	{TELA_SERVICE_FAILED, TELA_SERVICE_STARTING, "its next try, activate or pause"},
};

const uint32_t n_running_moves = ARRAY_SIZE(running_moves);

const char *running_name(enum tela_running s)
{
	static const char *const names[] = {"unknown", "starting", "running", "pausing", "paused",
		"stopping", "stopped", "failed"};

	return (unsigned)s < ARRAY_SIZE(names) ? names[s] : "?";
}

bool running_may_move(enum tela_running from, enum tela_running to)
{
	for (uint32_t i = 0; i < n_running_moves; i++)
		if (running_moves[i].from == from && running_moves[i].to == to)
			return true;
	return false;
}

uint64_t running_retry_ms(uint64_t first, uint64_t most, uint32_t n_tries)
{
	while (n_tries-- && first < most)
		first *= 2;
	return min_u64(first, most);
}
