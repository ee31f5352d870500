#include "admin_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct admin_client {
	FILE *stream;
	char *line;
	size_t room;
};

struct admin_client *admin_client_open(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct admin_client *a = calloc(1, sizeof(*a));
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (!a || fd < 0 || strlen(path) >= sizeof(address.sun_path))
		goto fail;
	strcpy(address.sun_path, path);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)))
		goto fail;
	a->stream = fdopen(fd, "r+");
	if (a->stream)
		return a;
fail:
	if (fd >= 0)
		close(fd);
	free(a);
	return NULL;
}

void admin_client_close(struct admin_client *a)
{
	if (!a)
		return;
	fclose(a->stream);
	free(a->line);
	free(a);
}

int admin_client_pid(const struct admin_client *a)
{
	struct ucred peer = {0};
	socklen_t len = sizeof(peer);

	getsockopt(fileno(a->stream), SOL_SOCKET, SO_PEERCRED, &peer, &len);
	return peer.pid;
}

json_t *admin_client_ask(struct admin_client *a, json_t *request)
{
	char *text = json_dumps(request, JSON_COMPACT);
	json_t *reply = NULL;
	int bad;

	json_decref(request);
	if (!text)
		return NULL;
	bad = fprintf(a->stream, "%s\n", text) < 0 || fflush(a->stream);
	free(text);
	if (!bad && getline(&a->line, &a->room, a->stream) > 0)
		reply = json_loads(a->line, 0, NULL);
	fseek(a->stream, 0, SEEK_CUR); /* a stream turns from reading to writing only so */
	return reply;
}
