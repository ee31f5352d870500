/* command.h - every command of the admin socket, in one table that also teaches: "commands" lists
 * it, telactl reads its command line by it and makes --help of it. */
#pragma once

#include "admin.h"

struct stack;
struct tela_instance;

extern const struct command commands[]; /* ends with a NULL name */

const struct command *command_find(const char *name);
/* The service that the request names; NULL after having answered that there is none. */
struct stack *command_service(struct control *c, struct request *r);

/* cmd_show.c */
void cmd_status(struct control *c, struct request *r);
void cmd_cores(struct control *c, struct request *r);
void cmd_services(struct control *c, struct request *r);
void cmd_plugins(struct control *c, struct request *r);
void cmd_images(struct control *c, struct request *r);
/* cmd_registry.c */
void cmd_registry(struct control *c, struct request *r);
/* cmd_stats.c */
void cmd_stats(struct control *c, struct request *r);
/* cmd_latency.c */
void cmd_latency(struct control *c, struct request *r);
/* cmd_chain.c */
void cmd_chain_show(struct control *c, struct request *r);
void cmd_chain_add(struct control *c, struct request *r);
void cmd_chain_remove(struct control *c, struct request *r);
void cmd_chain_replace(struct control *c, struct request *r);
void cmd_chain_apply(struct control *c, struct request *r);
/* cmd_keys.c */
/* Keys and values of an instance, as they were given. */
json_t *command_config_of(const struct tela_instance *i);
/* A row for each key that the plugin declares, with its value in `i`, unless that is NULL. */
void command_keys(json_t *rows, const struct plugin *p, const struct tela_instance *i);
/* A value as a configuration has it, to free(). NULL: -ENOMEM in errno, or -EINVAL: it is none. */
char *command_value(const json_t *v);
/* What is wrong with one that is none. */
int command_no_value(const char *key, const json_t *v, char *err, size_t err_len);
/* cmd_config.c */
void cmd_config_show(struct control *c, struct request *r);
void cmd_config_merge(struct control *c, struct request *r);
/* cmd_node.c */
void cmd_commands(struct control *c, struct request *r);
void cmd_drain(struct control *c, struct request *r);
void cmd_discovery(struct control *c, struct request *r);
void cmd_forwards(struct control *c, struct request *r);
void cmd_faults(struct control *c, struct request *r);
void cmd_limits(struct control *c, struct request *r);
void cmd_log_level(struct control *c, struct request *r);
/* cmd_service.c */
void cmd_service_pause(struct control *c, struct request *r);
void cmd_service_activate(struct control *c, struct request *r);
void cmd_service_deactivate(struct control *c, struct request *r);
void cmd_service_drain(struct control *c, struct request *r);
void cmd_service_weight(struct control *c, struct request *r);
/* whole.c */
void cmd_service_add(struct control *c, struct request *r);
void cmd_service_remove(struct control *c, struct request *r);
/* cmd_failures.c */
void cmd_failures(struct control *c, struct request *r);
/* cmd_trace.c */
void cmd_trace(struct control *c, struct request *r);
/* cmd_schema.c */
void cmd_schema(struct control *c, struct request *r);
/* cmd_call.c */
void cmd_call(struct control *c, struct request *r);
