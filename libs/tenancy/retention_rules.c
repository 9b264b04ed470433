#include "tenancy/retention_rules.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/duration.h"
#include "promql/parse.h"

enum { PARSE_BYTES_MAX = 256 << 10 /* of one rule's tree */ };

static const char *const key_names[MRD_RETENTION_KINDS] = {"samples", "rollups_5m", "rollups_1h",
                                                           "rollups_6h", "rollups_1d"};

/* ---- one rule ---- */

static struct mrd_bytes trim(struct mrd_bytes text)
{
    while (text.size > 0 && text.data[0] == ' ') {
        text = (struct mrd_bytes){text.data + 1, text.size - 1};
    }
    while (text.size > 0 && text.data[text.size - 1] == ' ') {
        text.size--;
    }
    return text;
}

/* Cuts the text up to the first `end`, which goes too, or all of it. */
static struct mrd_bytes cut(struct mrd_bytes *text, char end)
{
    const uint8_t *at = text->size == 0 ? NULL : memchr(text->data, end, text->size);
    const size_t size = at == NULL ? text->size : (size_t)(at - text->data);
    const struct mrd_bytes first = {text->data, size};
    const size_t gone = size + (at != NULL);
    *text = (struct mrd_bytes){text->size == 0 ? NULL : text->data + gone, text->size - gone};
    return first;
}

static enum mrd_status parse_kept(struct mrd_bytes text, mrd_time_ms *out, struct mrd_error *err)
{
    MRD_TRY(mrd_duration_parse(text, out, err));
    return *out > 0 ? MRD_OK
                    : mrd_fail(err, MRD_E_INVALID,
                               "a rule keeps series for a shorter time than others: 0 is none");
}

/* "samples=7d" */
static enum mrd_status parse_part(struct mrd_bytes part, struct mrd_retention_rule *rule,
                                  struct mrd_error *err)
{
    struct mrd_bytes value = part;
    const struct mrd_bytes name = cut(&value, '=');
    for (size_t i = 0; i < MRD_RETENTION_KINDS; i++) {
        if (!mrd_bytes_equal(name, mrd_bytes_of(key_names[i]))) {
            continue;
        }
        return rule->kept_ms[i] == 0
                   ? parse_kept(value, &rule->kept_ms[i], err)
                   : mrd_fail(err, MRD_E_INVALID, "%s stands there twice", key_names[i]);
    }
    return mrd_fail(
        err, MRD_E_INVALID,
        "\"%.*s\" is none of samples=, rollups_5m=, rollups_1h=, rollups_6h=, rollups_1d=",
        (int)MRD_MIN(part.size, (size_t)64), (const char *)part.data);
}

static enum mrd_status parse_times(struct mrd_bytes text, struct mrd_retention_rule *rule,
                                   struct mrd_error *err)
{
    if (text.size == 0) {
        return mrd_fail(err, MRD_E_INVALID, "a duration is wanted behind the last colon");
    }
    if (memchr(text.data, '=', text.size) == NULL) {
        return parse_kept(text, &rule->kept_ms[0], err);
    }
    while (text.size > 0) {
        const struct mrd_bytes part = cut(&text, ' ');
        if (part.size > 0) {
            MRD_TRY(parse_part(part, rule, err));
        }
    }
    return MRD_OK;
}

static struct mrd_id128 id_of(const struct mrd_retention_rule *rule)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf bytes = {0};
    for (size_t i = 0; i < rule->matcher_count; i++) {
        const struct mrd_matcher *matcher = &rule->matchers[i];
        mrd_buf_append_u8(&bytes, (uint8_t)matcher->type);
        mrd_buf_append_varint(&bytes, matcher->name.size);
        mrd_buf_append_bytes(&bytes, matcher->name);
        mrd_buf_append_varint(&bytes, matcher->value.size);
        mrd_buf_append_bytes(&bytes, matcher->value);
    }
    return mrd_hash128(mrd_buf_view(&bytes), 0);
}

/* The selector's tree and texts lie in the arena; *out_ast, empty at first, owns the regexes, also on failure. */
static enum mrd_status parse(struct mrd_bytes text, struct mrd_arena *arena,
                             struct mrd_ast *out_ast, struct mrd_retention_rule *out,
                             struct mrd_error *err)
{
    struct mrd_retention_rule rule = {0};
    if (text.size > MRD_RETENTION_RULE_SIZE_MAX) {
        return mrd_fail(err, MRD_E_INVALID, "a rule of %zu bytes; %d at most", text.size,
                        MRD_RETENTION_RULE_SIZE_MAX);
    }
    /* Metric names may have colons, durations have none. */
    const uint8_t *colon = text.size == 0 ? NULL : memrchr(text.data, ':', text.size);
    if (colon == NULL) {
        return mrd_fail(err, MRD_E_INVALID,
                        "a rule is 'SELECTOR: DURATION', as '{job=\"debug\"}: 7d'");
    }
    const size_t size = (size_t)(colon - text.data);
    MRD_TRY(parse_times(trim((struct mrd_bytes){colon + 1, text.size - size - 1}), &rule, err));
    MRD_TRY(
        mrd_promql_parse_selector(trim((struct mrd_bytes){text.data, size}), arena, out_ast, err));
    rule.matchers = out_ast->root->selector.matchers;
    rule.matcher_count = out_ast->root->selector.matcher_count;
    if (!mrd_matchers_select(rule.matchers, rule.matcher_count)) {
        return mrd_fail(err, MRD_E_INVALID,
                        "the selector of a rule must have a matcher that refuses the empty text: "
                        "for all series there is retention.samples");
    }
    rule.id = id_of(&rule);
    *out = rule;
    return MRD_OK;
}

enum mrd_status mrd_retention_rule_check(struct mrd_bytes text, struct mrd_error *err)
{
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("rule of retention", PARSE_BYTES_MAX);
    struct mrd_ast ast = {.root = NULL};
    struct mrd_retention_rule rule;
    struct mrd_error why = {0};
    const enum mrd_status status = parse(text, arena, &ast, &rule, &why);
    mrd_ast_fini(&ast);
    return status == MRD_OK
               ? MRD_OK
               : mrd_fail(err, MRD_E_INVALID, "\"%.*s\": %s", (int)MRD_MIN(text.size, (size_t)128),
                          (const char *)text.data, why.text);
}

mrd_time_ms mrd_retention_rule_of(const struct mrd_retention_rule *rule, mrd_time_ms resolution_ms)
{
    struct mrd_retention as;
    memcpy(as.kept_ms, rule->kept_ms, sizeof(as.kept_ms));
    return mrd_retention_of(&as, resolution_ms);
}

mrd_time_ms mrd_retention_rule_floor(const struct mrd_retention_rule *rule,
                                     mrd_time_ms resolution_ms, mrd_time_ms now_ms)
{
    const mrd_time_ms kept_ms = mrd_retention_rule_of(rule, resolution_ms);
    return kept_ms == 0 ? INT64_MIN : now_ms - kept_ms;
}

/* ---- a book ---- */

struct list {
    struct mrd_bytes tenant; /* in the arena */
    struct mrd_retention_rule *rules;
    struct mrd_ast *asts;
    size_t count;
};

struct mrd_retention_book {
    _Atomic size_t references; /* release when one goes, acquire by the last */
    struct mrd_arena *arena;
    struct list common;
    struct list *own; /* of tenants that have others than the common ones, by name */
    size_t own_count;
};

static const char KEY[] = "retention.rules";

/* The texts were checked when the configuration was read, whose own size bounds the arena. */
static void read_list(struct mrd_retention_book *book, const struct mrd_config *config,
                      struct list *out)
{
    out->count = mrd_config_list_size(config, KEY);
    out->rules = mrd_arena_alloc_array(book->arena, out->count + 1, sizeof(*out->rules));
    out->asts = mrd_arena_alloc_array(book->arena, out->count + 1, sizeof(*out->asts));
    mrd_assert(out->rules != NULL && out->asts != NULL);
    for (size_t i = 0; i < out->count; i++) {
        struct mrd_error err = {0};
        const struct mrd_bytes text =
            mrd_arena_copy(book->arena, mrd_bytes_of(mrd_config_list_at(config, KEY, i)));
        mrd_assert(text.data != NULL);
        mrd_assert(parse(text, book->arena, &out->asts[i], &out->rules[i], &err) == MRD_OK);
    }
}

static bool has_common_rules(const struct mrd_config *config, const struct mrd_config *view)
{
    const size_t count = mrd_config_list_size(config, KEY);
    bool same = count == mrd_config_list_size(view, KEY);
    for (size_t i = 0; i < count && same; i++) {
        same = strcmp(mrd_config_list_at(config, KEY, i), mrd_config_list_at(view, KEY, i)) == 0;
    }
    return same;
}

struct mrd_retention_book *mrd_retention_book_create(const struct mrd_config *config)
{
    struct mrd_retention_book *book = calloc(1, sizeof(*book));
    const size_t tenants = mrd_config_tenant_count(config);
    mrd_assert(book != NULL);
    atomic_init(&book->references, 1);
    book->arena = mrd_arena_create("rules of retention", SIZE_MAX);
    read_list(book, config, &book->common);
    book->own = calloc(tenants + 1, sizeof(*book->own));
    mrd_assert(book->own != NULL);
    for (size_t i = 0; i < tenants; i++) {
        mrd_auto(mrd_config_release)
        struct mrd_config *view = mrd_config_tenant_view(config, i);
        if (!has_common_rules(config, view)) {
            struct list *own = &book->own[book->own_count++];
            own->tenant = mrd_arena_copy(book->arena, mrd_config_tenant_name(config, i));
            mrd_assert(own->tenant.data != NULL);
            read_list(book, view, own);
        }
    }
    return book;
}

struct mrd_retention_book *mrd_retention_book_hold(struct mrd_retention_book *book)
{
    atomic_fetch_add_explicit(&book->references, 1, memory_order_relaxed);
    return book;
}

static void list_fini(struct list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        mrd_ast_fini(&list->asts[i]);
    }
}

void mrd_retention_book_release(struct mrd_retention_book **book)
{
    struct mrd_retention_book *self = MRD_MOVE(*book);
    if (self == NULL || atomic_fetch_sub_explicit(&self->references, 1, memory_order_acq_rel) > 1) {
        return;
    }
    list_fini(&self->common);
    for (size_t i = 0; i < self->own_count; i++) {
        list_fini(&self->own[i]);
    }
    free(self->own);
    mrd_arena_destroy(&self->arena);
    free(self);
}

size_t mrd_retention_book_count(const struct mrd_retention_book *book)
{
    return 1 + book->own_count;
}

struct mrd_retention_rules mrd_retention_book_at(const struct mrd_retention_book *book,
                                                 size_t index)
{
    const struct list *list = index == 0 ? &book->common : &book->own[index - 1];
    return (struct mrd_retention_rules){list->rules, list->count};
}

size_t mrd_retention_book_find(const struct mrd_retention_book *book, struct mrd_bytes tenant)
{
    size_t low = 0;
    size_t high = book->own_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = mrd_bytes_compare(book->own[middle].tenant, tenant);
        if (order == 0) {
            return 1 + middle;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return 0;
}

struct mrd_retention_rules mrd_retention_book_rules(const struct mrd_retention_book *book,
                                                    struct mrd_bytes tenant)
{
    return mrd_retention_book_at(book, mrd_retention_book_find(book, tenant));
}

/* ---- the present one ---- */

struct mrd_retention_keeper {
    pthread_mutex_t lock; /* guards the pointer */
    struct mrd_retention_book *book;
};

struct mrd_retention_keeper *mrd_retention_keeper_create(const struct mrd_config *config)
{
    struct mrd_retention_keeper *keeper = calloc(1, sizeof(*keeper));
    mrd_assert(keeper != NULL);
    pthread_mutex_init(&keeper->lock, NULL);
    keeper->book = mrd_retention_book_create(config);
    return keeper;
}

void mrd_retention_keeper_destroy(struct mrd_retention_keeper **keeper)
{
    if (*keeper != NULL) {
        mrd_retention_book_release(&(*keeper)->book);
        pthread_mutex_destroy(&(*keeper)->lock);
        free(*keeper);
        *keeper = NULL;
    }
}

void mrd_retention_keeper_set(struct mrd_retention_keeper *keeper, const struct mrd_config *config)
{
    struct mrd_retention_book *fresh = mrd_retention_book_create(config);
    pthread_mutex_lock(&keeper->lock);
    struct mrd_retention_book *old = keeper->book;
    keeper->book = fresh;
    pthread_mutex_unlock(&keeper->lock);
    mrd_retention_book_release(&old);
}

struct mrd_retention_book *mrd_retention_keeper_get(struct mrd_retention_keeper *keeper)
{
    pthread_mutex_lock(&keeper->lock);
    struct mrd_retention_book *book = mrd_retention_book_hold(keeper->book);
    pthread_mutex_unlock(&keeper->lock);
    return book;
}
