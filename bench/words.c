#include "words.h"

#include "kv_rpc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IN_FLIGHT = 256, VALUE_MAX = 300 };

int words_load(struct words *w)
{
	FILE *f = fopen(w->path, "re");
	long size;
	uint32_t n = 0;

	if (!f)
		return -errno;
	fseek(f, 0, SEEK_END);
	size = ftell(f);
	rewind(f);
	w->text = malloc((size_t)size + 1);
	if (!w->text || fread(w->text, 1, (size_t)size, f) != (size_t)size) {
		fclose(f);
		return -EIO;
	}
	fclose(f);
	w->text[size] = 0;
	w->text_len = (size_t)size;
	for (long i = 0; i < size; i++)
		n += w->text[i] == '\n';
	w->word = calloc(n + 1, sizeof(*w->word));
	if (!w->word)
		return -ENOMEM;
	for (char *at = w->text, *end; (end = strchr(at, '\n')); at = end + 1)
		if (end > at && end - at <= 255)
			w->word[w->n++] = (struct word){at, (uint32_t)(end - at)};
	return 0;
}

void words_free(struct words *w)
{
	free(w->text);
	free(w->word);
}

/* What belongs to a word: its number and itself backwards, so that neither a neighbour's value nor
 * the key passes. */
static uint32_t value_of(const struct words *w, uint32_t i, uint8_t to[VALUE_MAX])
{
	uint32_t n = (uint32_t)snprintf((char *)to, VALUE_MAX, "%u ", i);

	for (uint32_t k = 0; k < w->word[i].len; k++)
		to[n++] = (uint8_t)w->word[i].at[w->word[i].len - 1 - k];
	return n;
}

struct one {
	struct words *words;
	uint32_t index;
};
static struct one ones[IN_FLIGHT];
static struct one *free_ones[IN_FLIGHT];
static uint32_t n_free_ones;

static void end(struct one *o, bool again)
{
	struct words *w = o->words;

	free_ones[n_free_ones++] = o;
	w->in_flight--;
	if (again && w->n_again < sizeof(w->again) / sizeof(w->again[0])) {
		w->again[w->n_again++] = o->index;
		w->retried++;
		return;
	}
	atomic_fetch_add_explicit(&w->ended, 1, memory_order_relaxed);
}

static void failed(struct words *w, const struct tela_result *r)
{
	w->failed++;
	snprintf(w->last_error, sizeof(w->last_error), "%s %.*s", tela_code_name(r->code),
		(int)r->message.len, r->message.s ? r->message.s : "");
}

static void put_done(void *arg, const struct tela_result *r)
{
	struct one *o = arg;

	if (r->code == TELA_ABORTED) { /* the bucket was busy: not a failure, to be done again */
		end(o, true);
		return;
	}
	if (r->code)
		failed(o->words, r);
	else
		o->words->put++;
	end(o, false);
}

static void get_done(void *arg, const struct tela_result *r)
{
	struct one *o = arg;
	struct words *w = o->words;
	uint8_t want[VALUE_MAX];
	uint32_t len = value_of(w, o->index, want);
	kv_Value_t v;

	if (r->code) {
		failed(w, r);
		end(o, false);
		return;
	}
	v = kv_Kv_get_result(r);
	if (kv_Value_found(v) && kv_Value_value(v).len == len &&
		!memcmp(kv_Value_value(v).data, want, len))
		w->read_back++;
	else
		w->wrong++;
	end(o, false);
}

static int issue(struct words *w, struct one *o, int phase)
{
	uint8_t value[VALUE_MAX];
	struct tela_bytes key = {(const uint8_t *)w->word[o->index].at, w->word[o->index].len};

	if (phase == 1) {
		struct kv_Item_args a = {
			.key = key, .value = {value, value_of(w, o->index, value)}};

		return kv_Kv_put_call(w->client, &a, NULL, put_done, o);
	}
	return kv_Kv_get_call(w->client, &(struct kv_Key_args){.key = key}, NULL, get_done, o);
}

bool words_task(struct tela_core *core, void *arg)
{
	struct words *w = *(struct words * _Atomic *)arg;
	int phase = w ? atomic_load_explicit(&w->phase, memory_order_acquire) : 0;

	(void)core;
	if (!phase)
		return false;
	if (!w->next && !w->in_flight && !w->n_again) {
		n_free_ones = 0;
		for (uint32_t i = 0; i < IN_FLIGHT; i++)
			free_ones[n_free_ones++] = &ones[i];
	}
	while (n_free_ones && (w->next < w->n || w->n_again)) {
		struct one *o = free_ones[--n_free_ones];
		bool again = w->n_again > 0;

		*o = (struct one){w, again ? w->again[w->n_again - 1] : w->next};
		if (issue(w, o, phase)) {
			n_free_ones++;
			return false;
		}
		if (again)
			w->n_again--;
		else
			w->next++;
		w->in_flight++;
	}
	return false;
}
