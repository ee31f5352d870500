/* tela_status.h - how a call ends, in words that applications agree on.
 *
 * A result is one of four kinds, each with or without data: ok and created (data: the reply's
 * payload), error and status (data: pairs of strings). An error is a Status: name, info for people,
 * an HTTP-like and a gRPC code, data, metadata (the reply's). A status is the same and no failure:
 * a trace does not mark it.
 *
 * Names are registered (tela_plugin.h, TELA_STATUS); the node knows those of tela_status_known(). A
 * name that nobody registered is told to callers as internal_error with a reference number, which
 * the node's log explains. What the library itself answers (a lost peer, a passed deadline) reads
 * the same: see tela_result_status().
 */
#pragma once

#include "tela.h"

#ifdef __cplusplus
extern "C" {
#endif

enum tela_kind {
	TELA_KIND_ERROR,
	TELA_KIND_STATUS,
	TELA_KIND_OK,
	TELA_KIND_CREATED,
};

/* "error", "status", "ok", "created"; "?" for others. [any] */
const char *tela_kind_name(unsigned kind);

enum {
	TELA_STATUS_NAME_MAX = 63, /* bytes: lower case letters, digits, _ */
	TELA_STATUS_INFO_MAX = 200,
	TELA_STATUS_DATA_MAX = 512, /* keys and values, a zero behind each */
};

/* A registered status. */
struct tela_status_def {
	const char *name; /* "insufficient_stock" */
	uint16_t http;    /* 100 to 599 */
	uint8_t code;     /* enum tela_code */
	const char *info; /* unless the call says another; NULL: the name */
};

/* Names, codes and sentences that every node has, `*ret_n` of them, sorted by name. [any] */
const struct tela_status_def *tela_status_known(uint32_t *ret_n);

/* ---- answering ---- */

struct tela_status {
	const char *name;
	const char *info; /* NULL: the registered one */
	uint8_t kind;     /* TELA_KIND_ERROR or TELA_KIND_STATUS */
	uint32_t retry_after_us;
	uint32_t n_data;
	const struct tela_pair *data;
};

/* Answers with a status and no payload. All is copied; what is longer than the limits above is cut,
 * pairs that do not fit are left out. Returns TELA_ANSWER. [core] */
enum tela_verdict tela_reply_with(struct tela_call *call, const struct tela_status *s);
/* The same, an error without data. [core] */
enum tela_verdict tela_reply_error(struct tela_call *call, const char *name, const char *info);
/* The reply as it stands is of something created; without one: created, no data. Returns
 * TELA_ANSWER. [core] */
enum tela_verdict tela_reply_created(struct tela_call *call);
/* ok, no data. Returns TELA_ANSWER. [core] */
enum tela_verdict tela_reply_ok(struct tela_call *call);

/* enum tela_kind of the reply as set so far; whether it is ok, with a payload and no metadata: for
 * leave hooks that look at it. [core] */
unsigned tela_reply_kind(const struct tela_call *call);
bool tela_reply_is_plain(const struct tela_call *call);

/* A pending call, as tela_thread_answer and tela_core_answer. */
int tela_thread_answer_with(
	struct tela_thread *t, struct tela_handle h, const struct tela_status *s);
int tela_core_answer_with(
	struct tela_core *core, struct tela_handle h, const struct tela_status *s);
/* The same: created, with data, or with none where len is 0. */
int tela_thread_answer_created(
	struct tela_thread *t, struct tela_handle h, const void *payload, size_t len);
int tela_core_answer_created(
	struct tela_core *core, struct tela_handle h, const void *payload, size_t len);

/* ---- reading ---- */

/* What a call ended with; points into the result or reply that it is read from. */
struct tela_status_view {
	struct tela_str name, info; /* info may be empty */
	uint16_t http;
	uint8_t code, kind;
	uint32_t retry_after_us;
	const void *envelope; /* private */
};

/* Never fails: a result without a Status of its own has the one that its code implies. [any] */
void tela_result_status(const struct tela_result *r, struct tela_status_view *ret);
void tela_thread_status(const struct tela_reply *r, struct tela_status_view *ret);
/* Value of `key` in its data, {NULL, 0} if absent; pair number `i` of its data, and of its
 * metadata, false if there are fewer. [any] */
struct tela_str tela_status_data(const struct tela_status_view *s, const char *key);
bool tela_status_data_at(const struct tela_status_view *s, uint32_t i, struct tela_str *ret_key,
	struct tela_str *ret_value);
bool tela_status_metadata_at(const struct tela_status_view *s, uint32_t i, struct tela_str *ret_key,
	struct tela_str *ret_value);

/* Sees every status that a call ends with after its chain has run, registered or hidden; may add to
 * the reply's metadata. `s` has no data and no metadata here. [core] */
typedef void (*tela_status_fn)(
	struct tela_call *call, const struct tela_status_view *s, void *self);

#ifdef __cplusplus
}
#endif
