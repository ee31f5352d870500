/* tela.h - what a service author and a caller see.
 *
 * A service is a stack of plugins. Each plugin contributes links to callback chains; a call from
 * outside walks `request_in` and then its method's chain, top to bottom, until a link answers.
 * tela_plugin.h has the plugin itself, tela_node.h how a node is embedded, and the headers that
 * telac makes from a schema (echo_rpc.h) wrap what is here in typed calls.
 *
 * Threads:   a call marked [core] runs on a data core only: inside a link, a completion or a task,
 *            never later. [thread] is for an attached thread (tela_thread_attach); [any] for both.
 *            [control] is for the thread that made the node.
 * Ownership: pointers handed to a link or a completion are valid until it returns.
 * Errors:    0 or -errno. What a call ends with is a gRPC status code and an outcome, not an errno.
 * Units:     the last word of a name: _ns, _us, _bytes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <tela_fb.h>

#ifdef __cplusplus
extern "C" {
#endif

/* gRPC's status codes, unchanged (grpc/grpc, doc/statuscodes.md). */
enum tela_code {
	TELA_OK = 0,
	TELA_CANCELLED = 1,
	TELA_UNKNOWN = 2,
	TELA_INVALID_ARGUMENT = 3,
	TELA_DEADLINE_EXCEEDED = 4,
	TELA_NOT_FOUND = 5,
	TELA_ALREADY_EXISTS = 6,
	TELA_PERMISSION_DENIED = 7,
	TELA_RESOURCE_EXHAUSTED = 8,
	TELA_FAILED_PRECONDITION = 9,
	TELA_ABORTED = 10,
	TELA_OUT_OF_RANGE = 11,
	TELA_UNIMPLEMENTED = 12,
	TELA_INTERNAL = 13,
	TELA_UNAVAILABLE = 14,
	TELA_DATA_LOSS = 15,
	TELA_UNAUTHENTICATED = 16,
};

/* "UNAVAILABLE" for 14; "?" above 16. [any] */
const char *tela_code_name(unsigned code);

/* Whether the handler ran, apart from how the call ended. Only NOT_EXECUTED is safe to repeat for a
 * method that is not idempotent. */
enum tela_outcome {
	TELA_EXECUTED = 0,
	TELA_NOT_EXECUTED = 1,
	TELA_MAYBE_EXECUTED = 2,
};

const char *tela_outcome_name(unsigned outcome);

struct tela_call;   /* a call being served */
struct tela_client; /* where calls of one service go */
struct tela_core;   /* a data core */
struct tela_thread; /* an attached thread */
struct tela_node;

/* ---- what telac emits for an rpc_service ---- */

enum {
	TELA_METHOD_IDEMPOTENT = 1,
	/* Its request is bytes (verify_request NULL), and its links take what came in several
	 * packets where it arrived: tela_call_segments(). */
	TELA_METHOD_SEGMENTS = 2,
};

/* What the schema says of a method beside its types: `idempotent`, `streaming`, words of one's own.
 */
struct tela_attribute {
	const char *key, *value; /* value "0", as flatc says it: none was given */
};

/* One method. verify_*: 0, or -EBADMSG for a payload that must not be read. */
struct tela_method_desc {
	const char *name;
	uint16_t id; /* from the schema, never 0 */
	uint16_t flags;
	uint32_t deadline_us; /* default of the schema, 0: none */
	int (*verify_request)(const void *payload, size_t len);
	int (*verify_response)(const void *payload, size_t len);
	const struct tela_attribute *attributes; /* sorted by key */
	uint32_t n_attributes;
	const struct tela_fb_desc_type *request, *response; /* to print them; NULL: unknown */
};

/* The value of that attribute of the method; NULL: it has none. [any] */
static inline const char *tela_method_attribute(const struct tela_method_desc *m, const char *key)
{
	uint32_t i;

	for (i = 0; i < m->n_attributes; i++)
		if (!strcmp(m->attributes[i].key, key))
			return m->attributes[i].value;
	return NULL;
}

struct tela_service_desc {
	const char *name;           /* "echo.Echo" */
	uint64_t schema;            /* hash of what matters for compatibility */
	const uint64_t *compatible; /* hashes of earlier schemas found compatible */
	uint32_t n_compatible;
	uint32_t n_methods;
	const struct tela_method_desc *methods;
	const void *bfbs; /* its file as flatc's binary schema, for reflection; NULL: not shown */
	size_t bfbs_len;
};

/* ---- links: the code that serves a call ---- */

/* What a link says when it returns. */
enum tela_verdict {
	TELA_CONTINUE, /* the next link, with the request as it now is (see tela_call_replace) */
	TELA_ANSWER,   /* done: a reply or a status has been set (tela_reply_*) */
	TELA_PENDING,  /* will be resumed later (only after tela_call_pend) */
};

/* `self` is the configuration view of the plugin instance in the image that the call runs under. */
typedef enum tela_verdict (*tela_enter_fn)(struct tela_call *call, void *self);
/* Runs on the owning core, in reverse order, for every link that was entered, the answering one
 * included, also after cancel and timeout. May read the request only if the call never was pending;
 * may add reply metadata and replace the reply (tela_reply_*). */
typedef void (*tela_leave_fn)(struct tela_call *call, void *self);

/* What a call hands on to the calls made for it, in other words than its request. Ids are never 0
 * where there is one. */
struct tela_context {
	uint64_t deadline_ns; /* on tela_core_now()'s clock; UINT64_MAX: none */
	uint64_t root[2];     /* of the call that began all this */
	uint64_t trace[2];    /* W3C trace id, its first half first; 0, 0: not traced */
	uint64_t span;        /* the span that is open in it */
	uint8_t trace_flags;  /* W3C: TELA_TRACE_SAMPLED */
	uint8_t hops;         /* from that call to this one */
};

enum { TELA_TRACE_SAMPLED = 1 };

/* A data core, as its calls see it. [core] */
struct tela_pass {
	uint64_t now_ns; /* tela_core_now() */
	uint32_t core;   /* tela_core_index() */
};

/* A piece of a payload. */
struct tela_segment {
	const void *data;
	size_t len;
};

/* The public head of a call; read it, do not write it. */
struct tela_call {
	/* Verified payload; NULL of a TELA_METHOD_SEGMENTS whose request came in several packets.
	 */
	const uint8_t *request;
	uint32_t request_len; /* in all */
	uint16_t identity;    /* proved identity of the caller, 0: none */
	uint8_t hops;
	uint8_t reply_code; /* enum tela_code as set so far */
	const struct tela_method_desc *method;
	const struct tela_service_desc *service;
	uint64_t deadline_ns; /* on tela_core_now()'s clock; UINT64_MAX: none */
	uint64_t generation;  /* of the image the call runs under */
	/* Root and trace, where the call has a trace; NULL: it has none. */
	const struct tela_context *context;
	uint64_t began_ns;            /* when it came, on that clock */
	const struct tela_pass *pass; /* of the core that runs it */
};

/* The request's payload as it now stands; NULL: in segments. [core] */
static inline const void *tela_call_request(const struct tela_call *call, size_t *ret_len)
{
	if (ret_len)
		*ret_len = call->request_len;
	return call->request;
}

/* The request of any method as the pieces that it stands in, in order, `*ret_n` of them, none
 * empty but that of an empty request. Those of a TELA_METHOD_SEGMENTS are the buffers that its
 * packets came in, not copied; they are held until the call has ended, also while it is pending.
 * One that is whole is put into `*whole`. A request of such a method that came in one packet, from
 * this node itself, or when more buffers were held than the budget `segments` allows, is whole.
 * [core], and a link that blocks */
const struct tela_segment *tela_call_segments(
	const struct tela_call *call, struct tela_segment *whole, size_t *ret_n);

/* Later links and the handler see `len` bytes at `payload` instead, which must satisfy the method's
 * verifier and are copied into the call's arena. 0, -EBADMSG (not a valid request), -ENOMEM (the
 * status is then RESOURCE_EXHAUSTED: return TELA_ANSWER). [core] */
int tela_call_replace(struct tela_call *call, const void *payload, size_t len);

/* Metadata of the request: the value of `key`, or {NULL, 0}. [core] */
struct tela_str tela_call_metadata(const struct tela_call *call, const char *key);
/* Later links and the handler find it there, before what the caller sent. Copied. 0, -ENOMEM (the
 * call's arena is full). [core] */
int tela_call_metadata_add(struct tela_call *call, const char *key, const char *value);

/* Who calls, proved by a link: a number that is not 0, and a name, which must live as long as the
 * plugin's instance. Nothing that a caller sends sets them. [core] */
void tela_call_identify(struct tela_call *call, uint16_t identity, const char *subject);
/* NULL: nobody has proved anything. [core] */
const char *tela_call_subject(const struct tela_call *call);

/* The same again without the token that proved it: the caller's session on this core keeps `proof`,
 * any number that says to the link with this `self` what it has verified, and its next calls carry
 * an index in place of the metadata "authorization", if it can and there is room; else, and those
 * that are one-way, they carry the token as ever. Each call tells: the proof may have ended, then
 * tela_reply_prove(). After a change of the service, proofs are kept whose `self` is still a
 * link's; so `proof` says also whose it is, as another instance may get the same address. [core] */
void tela_call_prove(struct tela_call *call, const void *self, uint64_t proof);
/* Whether the call carries such an index; then it has no "authorization". [core] */
bool tela_call_proof(const struct tela_call *call, const void *self, uint64_t *ret_proof);
/* Of such a call: what was proved holds no more. Its caller makes it once more, with its token, as
 * if it had never been here. Returns TELA_ANSWER. [core] */
enum tela_verdict tela_reply_prove(struct tela_call *call);

/* The 128-bit id that is the same for every attempt at one request; false if the caller set none.
 * [core] */
bool tela_call_key(const struct tela_call *call, uint64_t ret_key[2]);

/* What the call hands on, as a copy that outlives it: for calls made from other threads. [core] */
void tela_call_context(const struct tela_call *call, struct tela_context *ret);

/* The core that runs the call. [core] */
struct tela_core *tela_call_core(const struct tela_call *call);

/* The call's arena: `size` bytes at a multiple of 8, freed with the call; NULL when full. [core] */
void *tela_call_alloc(struct tela_call *call, size_t size);

/* ---- replies [core] ---- */

/* Memory to build a reply payload of at most `size` bytes, at a multiple of 8. NULL: too large for
 * the caller or no memory; the status is then RESOURCE_EXHAUSTED, return TELA_ANSWER. A second call
 * replaces the first. */
void *tela_reply_begin(struct tela_call *call, size_t size);
/* The reply is the first `len` bytes. Returns TELA_ANSWER. */
enum tela_verdict tela_reply_commit(struct tela_call *call, size_t len);
/* begin, copy, commit. */
enum tela_verdict tela_reply_copy(struct tela_call *call, const void *payload, size_t len);
/* Takes lent memory back. It frees it, or lets go of it: it makes no call and answers none. */
typedef void (*tela_lent_fn)(void *arg);
/* Answers with `len` bytes that stand in memory of the handler's own, any that its process may
 * read: a file that is mapped, an item of a cache. They are lent from here until `done` begins,
 * must not change, and are sent, and sent again where packets were lost, from where they stand; on
 * devices that do not copy what they send they are copied packet by packet. `done` runs exactly
 * once, on this core: when the caller has the reply, or wants it no more; when it is given up, at
 * the latest 3 s from now, for others' sake, at a drain or a stop; when its path is down; when the
 * reply is replaced. Until then the call is in flight for its service, and no instance is stopped
 * under it: NULL will do for memory that stands until then.
 *
 * Copied, and `done` called before this returns: a reply of up to 9,000 bytes, and that of a link
 * that blocks, on its worker (to 3 MiB). From other threads nothing is lent: tela_thread_answer()
 * copies. Returns TELA_ANSWER; where the caller takes no reply so large, or there is no memory, the
 * status is RESOURCE_EXHAUSTED, and `done` has been called. */
enum tela_verdict tela_reply_lend(
	struct tela_call *call, const void *from, size_t len, tela_lent_fn done, void *arg);
/* Answers with a status and no payload; `message` (NULL: none) is copied, at most 200 bytes.
 * Returns TELA_ANSWER. */
enum tela_verdict tela_reply_status(struct tela_call *call, uint8_t code, const char *message);
/* The reply as set so far, NULL if none: for leave hooks that look at it. */
const void *tela_reply_payload(const struct tela_call *call, size_t *ret_len);
/* Adds a pair to the reply's metadata; both are copied. 0 or -ENOSPC (an envelope is at most 1
 * KiB). */
int tela_reply_metadata(struct tela_call *call, const char *key, const char *value);

/* Statuses with a name: tela_status.h. */

/* ---- pending calls ---- */

/* Names a pending call from any thread; stale once the call has ended. */
struct tela_handle {
	uint32_t core;
	uint32_t index;
	uint64_t generation;
};

/* Makes the call pending: its request is copied out of the datagram it arrived in, so that it may
 * be read from other threads until the call is resumed; older pointers to it are dead. Then return
 * TELA_PENDING. 0, or -ENOBUFS with nothing changed (answer RESOURCE_EXHAUSTED). [core] */
int tela_call_pend(struct tela_call *call, struct tela_handle *ret_handle, const void **ret_request,
	size_t *ret_len);

/* How a pending call goes on. `payload` is copied before these return. Exactly one of them, once,
 * for each handle; it must come even when the caller has gone meanwhile, or the call was
 * cancelled by a drain, after which its instance may be stopped (the reply is then dropped
 * and counted). 0, -EAGAIN (the ring to that core is full: try again), -ENOMEM. [thread] */
int tela_thread_answer(
	struct tela_thread *t, struct tela_handle h, const void *payload, size_t len);
int tela_thread_answer_status(
	struct tela_thread *t, struct tela_handle h, uint8_t code, const char *message);
/* The next link runs; payload NULL: with the request as it is, else with this one. None runs after
 * the call's deadline: it ends DEADLINE_EXCEEDED. */
int tela_thread_continue(
	struct tela_thread *t, struct tela_handle h, const void *payload, size_t len);
/* tela_call_identify(), then the next link with the request as it is. */
int tela_thread_continue_as(
	struct tela_thread *t, struct tela_handle h, uint16_t identity, const char *subject);
/* The same from a task or completion on the call's own core: at once, nested at most one deep.
 * [core] */
int tela_core_answer(struct tela_core *core, struct tela_handle h, const void *payload, size_t len);
int tela_core_answer_status(
	struct tela_core *core, struct tela_handle h, uint8_t code, const char *message);
/* With a reply lent: tela_reply_lend(). `done` is called for a handle that names nothing, too. */
int tela_core_answer_lend(struct tela_core *core, struct tela_handle h, const void *from,
	size_t len, tela_lent_fn done, void *arg);
int tela_core_continue(
	struct tela_core *core, struct tela_handle h, const void *payload, size_t len);
/* The pending call itself, to make further calls for; NULL: it has ended, or is another core's.
 * Valid until the function that asks returns or resumes it. A completion that goes on with a call
 * asks first: a drain may have cancelled it, and with it may have gone the service's own state. The
 * handle is answered even so: what the call still holds, its arena too, is there until then. [core]
 */
const struct tela_call *tela_core_call(struct tela_core *core, struct tela_handle h);

/* ---- links that block ----
 *
 * A link may take its time, wait for a file or another service, if it is marked `blocking`
 * (tela_plugin.h), or its method is by the node's configuration. It then runs on a worker, an
 * ordinary thread of the node: the call is pending meanwhile, its core goes on. The link is written
 * as any other and may use what takes a struct tela_call, but for tela_call_pend() and
 * tela_call_core(); its reply is at most 3 MiB. Several workers may run it at once, so what its
 * instance shares needs a lock. Its leave hook runs on the core. Calls that nobody waits for any
 * more, because of a cancel or the deadline, are not started; when 256 of a core wait for a worker,
 * the next is refused RESOURCE_EXHAUSTED (surely not executed). */

/* The worker as an attached thread, for blocking calls from inside such a link; NULL on any other
 * thread. [any] */
struct tela_thread *tela_thread_self(void);

/* ---- calling ---- */

enum {
	/* The method may run again when its reply was lost: set from the schema, or here. */
	TELA_CALL_IDEMPOTENT = 1,
	/* No reply is wanted, only word that the call was accepted (tela_request_send). */
	TELA_CALL_ONE_WAY = 2,
	/* Of a client of many instances (tela_mesh.h): wait for one until the deadline; fail after
	 * one round; repeat also what may have run. */
	TELA_CALL_WAIT = 4,
	TELA_CALL_FAIL_FAST = 8,
	TELA_CALL_REPEAT = 16,
	/* Of a client of this node itself: the chain runs inside tela_request_send(). */
	TELA_CALL_DIRECT = 32,
	/* The reply of a method whose response is bytes (verify_response NULL) may come in pieces:
	 * tela_result_segments(). */
	TELA_CALL_SEGMENTS = 64,
	TELA_CALL_FLAGS = 127, /* all of them: others are refused */
};

/* Options of one call; zero everywhere is the default. */
struct tela_options {
	uint64_t deadline_us;     /* 0: the method's default, else the client's, else 15 s */
	uint64_t max_reply_bytes; /* largest reply payload taken, to 16 MiB; 0: 1 MiB */
	uint32_t flags;
	uint32_t n_metadata;
	const struct tela_pair *metadata;
	const uint64_t *key; /* two words: request key; NULL: none */
	/* The call that this one is made for: it inherits root and trace, ends no later, and is
	 * cancelled when nobody waits for that one any more (if it is made on its core). NULL:
	 * none. [core], or a worker for the call that it runs */
	const struct tela_call *parent;
	/* The same without the cancelling, where that call is out of reach. NULL: none. */
	const struct tela_context *context;
	/* Of a client of many instances: which one, by the name of its node, "" for this one (NULL:
	 * any); what decides for TELA_BALANCE_HASH. */
	const char *instance;
	uint64_t hash;
	/* Memory of the caller's for the reply's payload, max_reply_bytes of it (0 there: -EINVAL).
	 * It is the library's from tela_request_send() until the completion begins, however the
	 * call ends, or until the request is abandoned; nothing is written to it after. A payload
	 * stands there, and the result points to it; whatever else was there is lost even if the
	 * call fails. NULL: the library's own memory. Not used by tela_thread_call() and
	 * tela_mesh_all(). */
	void *reply_into;
};

struct tela_pair {
	const char *key, *value;
};

/* The same options (NULL: the default) for a one-way call. [any] */
static inline struct tela_options tela_options_one_way(const struct tela_options *o)
{
	struct tela_options one_way;

	memset(&one_way, 0, sizeof(one_way));
	if (o)
		one_way = *o;
	one_way.flags |= TELA_CALL_ONE_WAY;
	return one_way;
}

/* How a call ended, for a completion. Valid until the completion returns. */
struct tela_result {
	uint8_t code;    /* enum tela_code */
	uint8_t outcome; /* enum tela_outcome */
	uint16_t resends;
	uint32_t queue_ns, dwell_ns; /* as the callee measured, at its pass resolution */
	uint32_t retry_after_us;
	const void
		*payload; /* verified; NULL with len 0 unless code is OK, and of a one-way call */
	size_t len;
	const void *envelope; /* verified frame_Envelope, NULL if there is none */
	size_t envelope_len;
	struct tela_str message; /* of a status, {NULL, 0} if none */
	/* With TELA_CALL_SEGMENTS, of a payload in pieces: then `payload` is NULL and `len` what
	 * they hold in all. See tela_result_segments(). */
	const struct tela_segment *segments;
	size_t n_segments;
};

/* The reply's payload as the pieces that it stands in, in order; a whole one is put into `*whole`.
 * They are the buffers that it came in, until the completion returns. [any] */
static inline const struct tela_segment *tela_result_segments(
	const struct tela_result *r, struct tela_segment *whole, size_t *ret_n)
{
	*ret_n = r->segments ? r->n_segments : 1;
	if (r->segments)
		return r->segments;
	whole->data = r->payload;
	whole->len = r->len;
	return whole;
}

typedef void (*tela_done_fn)(void *arg, const struct tela_result *result);

/* Value of `key` in the reply's metadata, {NULL, 0} if absent. [any] */
struct tela_str tela_result_metadata(const struct tela_result *r, const char *key);

/* A request being built. */
struct tela_request {
	void *payload; /* where to build, at a multiple of 8 */
	size_t room;
	void *client_core, *session, *slot; /* private */
};

/* Takes a slot and gives room for a payload of exactly `size` bytes. The request must be sent or
 * abandoned before the caller returns. 0; -EAGAIN (every slot is taken: try in a later pass),
 * -EBUSY (the peer is overloaded and has all the calls that it will take now: as one that has ended
 * RESOURCE_EXHAUSTED, surely not executed),
 * -EMSGSIZE, -ENOBUFS, -ENOTCONN (peer is down; try later or fail the call), -EINVAL (unknown
 * flags or instance; a direct call elsewhere than here), -ECANCELED (nobody waits for the parent
 * any more), -ELOOP (255 calls, each made for the one before), -ESHUTDOWN (the client is being
 * closed). [core] */
int tela_request_begin(struct tela_client *c, const struct tela_method_desc *m, size_t size,
	const struct tela_options *o, struct tela_request *ret);
/* Sends it; `done` runs on this core, later, exactly once. [core]
 *
 * With TELA_CALL_DIRECT the chain runs in place and `done` before this returns: a handler has the
 * result at once and need not go pending. It is as a local call in all else: a status, never a
 * crash. A link that would answer later, or blocks, ends it FAILED_PRECONDITION (maybe executed);
 * more than 16 direct calls inside one another are refused RESOURCE_EXHAUSTED (surely not
 * executed). It takes its time from the core, as the handler that makes it does.
 *
 * A one-way call has ended when its callee has accepted or refused it. OK with outcome EXECUTED and
 * no payload says accepted: its chain was entered, once, and whatever it answers, now or later, is
 * dropped (counters one_way_replies, one_way_failed). What can be said before a chain runs is told
 * as ever: no such method, paused, deadline passed, a payload that does not verify, and
 * RESOURCE_EXHAUSTED where too many calls run without a caller (budget `detached`). Its deadline
 * holds for being accepted, and the callee's links see it; cancelling takes back what has not
 * arrived. */
int tela_request_send(struct tela_request *r, tela_done_fn done, void *arg);
void tela_request_abandon(struct tela_request *r);

/* A call whose payload stands in the caller's memory, any that its process may read: begins and
 * sends it. Those `len` bytes are lent from here until `done` begins, however the call ends, and
 * must not change: they are sent, and sent again where packets were lost, from where they stand.
 * The first packet's worth of them, and on devices that do not copy what they send all of them, are
 * copied packet by packet; a client of many instances, one with links of request_out, and a payload
 * of up to 9,000 bytes have all of it copied at once. Errors as tela_request_begin(): then nothing
 * was lent. [core] */
int tela_request_lend(struct tela_client *c, const struct tela_method_desc *m, const void *payload,
	size_t len, const struct tela_options *o, tela_done_fn done, void *arg);

/* Where calls of `service` go: to the node named `peer` in the configuration, or to this node
 * itself (NULL). `sessions` per core, 0: one. The descriptor must outlive the client: telad unloads
 * no object that holds one. NULL with errno ENOENT (no such peer), ENOMEM. Closed with the node, if
 * not before. [any but data cores] */
struct tela_client *tela_client_open(struct tela_node *n, const char *peer,
	const struct tela_service_desc *service, unsigned sessions);
/* Closes it, one of tela_mesh_open() too (NULL: nothing): a plugin does in its `stop`, or its
 * object stays loaded. Its calls under way end CANCELLED (surely not executed where no packet was
 * sent, else maybe), blocking ones too, each completion on its core and before this returns; calls
 * that they begin are refused -ESHUTDOWN. After that nobody may use the client; its descriptor, and
 * what calls had lent, are the caller's again. To let calls finish, wait for them before. Waits
 * until every core has looked, far less than a millisecond when they run: hold nothing that a
 * completion waits for. [any but data cores] */
void tela_client_close(struct tela_client *c);

/* The core that is running, NULL on other threads. [any] */
struct tela_core *tela_core_self(void);
/* Clock of the pass, nanoseconds since some start. [core] */
uint64_t tela_core_now(const struct tela_core *core);
unsigned tela_core_index(const struct tela_core *core);

/* ---- attached threads ---- */

/* Attaches the calling thread; it may then make blocking calls and resume pending ones. Not for
 * data cores. NULL with errno EBUSY (no place left), ENOMEM. [any other thread] */
struct tela_thread *tela_thread_attach(struct tela_node *n);
/* Before the node is destroyed. */
void tela_thread_detach(struct tela_thread *t);

/* What a blocking call brought. The payload belongs to the caller until tela_reply_free. */
struct tela_reply {
	uint8_t code;
	uint8_t outcome;
	uint16_t resends;
	uint32_t retry_after_us;
	void *payload;
	size_t len;
	void *envelope; /* verified frame_Envelope or NULL */
	size_t envelope_len;
	char message[204];
};

/* Calls and waits until it has ended, at the latest shortly after its deadline. 0 when the call
 * ended, with whatever code; -ENOMEM, -EMSGSIZE, -ESHUTDOWN (node is stopping). `reply` need not be
 * initialised. [thread] */
int tela_thread_call(struct tela_thread *t, struct tela_client *c, const struct tela_method_desc *m,
	const void *payload, size_t len, const struct tela_options *o, struct tela_reply *reply);
void tela_reply_free(struct tela_reply *reply);

#ifdef __cplusplus
}
#endif

#include "tela_status.h"
