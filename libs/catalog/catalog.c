#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "catalog/catalog_internal.h"

enum { HINT_SIZE_MAX = 32 };
static const char HINT_KEY[] = CAT_PREFIX "HEAD";

/* ---- keys ---- */

void cat_commit_key(char out[CAT_KEY_MAX], uint64_t number)
{
    (void)snprintf(out, CAT_KEY_MAX, CAT_PREFIX "%020" PRIu64, number);
}

void cat_checkpoint_key(char out[CAT_KEY_MAX], uint64_t number)
{
    (void)snprintf(out, CAT_KEY_MAX, CAT_PREFIX "%020" PRIu64 ".checkpoint", number);
}

bool cat_key_parse(const char *key, uint64_t *out_number, bool *out_checkpoint)
{
    const char *digits = key + sizeof(CAT_PREFIX) - 1;
    char *end;
    if (strncmp(key, CAT_PREFIX, sizeof(CAT_PREFIX) - 1) != 0 ||
        strspn(digits, "0123456789") != 20) {
        return false;
    }
    *out_number = strtoull(digits, &end, 10);
    *out_checkpoint = strcmp(end, ".checkpoint") == 0;
    return *out_checkpoint || *end == '\0';
}

/* ---- the hint ---- */

/* The number in HEAD, 0 if there is none: a hint may say anything, and is believed only where the objects that it speaks of are
 * found. */
static enum mrd_status hint_read(struct mrd_catalog *catalog,
                                 const struct mrd_objstore_control *control, uint64_t *out_number,
                                 struct mrd_error *err)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf bytes = {0};
    *out_number = 0;
    const enum mrd_status status =
        mrd_objstore_get(catalog->options.store, HINT_KEY, HINT_SIZE_MAX, control, &bytes, err);
    if (status == MRD_E_NOT_FOUND) {
        return MRD_OK;
    }
    MRD_TRY(status);
    mrd_buf_append_u8(&bytes, 0);
    *out_number = strtoull((const char *)bytes.data, NULL, 10);
    return MRD_OK;
}

static enum mrd_status hint_write(struct mrd_catalog *catalog,
                                  const struct mrd_objstore_control *control, uint64_t number,
                                  struct mrd_error *err)
{
    char text[HINT_SIZE_MAX];
    (void)snprintf(text, sizeof(text), "%" PRIu64 "\n", number);
    return mrd_objstore_put(catalog->options.store, HINT_KEY, mrd_bytes_of(text), control, err);
}

/* ---- the state in force ---- */

struct mrd_catalog_state *mrd_catalog_pin(struct mrd_catalog *catalog)
{
    pthread_mutex_lock(&catalog->lock);
    struct mrd_catalog_state *state = mrd_catalog_state_hold(catalog->state);
    pthread_mutex_unlock(&catalog->lock);
    return state;
}

/* Takes the state. */
static void publish(struct mrd_catalog *catalog, struct mrd_catalog_state *state)
{
    pthread_mutex_lock(&catalog->lock);
    struct mrd_catalog_state *old = catalog->state;
    catalog->state = state;
    pthread_mutex_unlock(&catalog->lock);
    mrd_catalog_unpin(&old);
}

static void count(struct mrd_catalog *catalog, uint64_t *counter)
{
    pthread_mutex_lock(&catalog->lock);
    ++*counter;
    pthread_mutex_unlock(&catalog->lock);
}

static struct mrd_catalog_grace grace_of(struct mrd_catalog *catalog)
{
    pthread_mutex_lock(&catalog->lock);
    const struct mrd_catalog_grace grace = mrd_catalog_grace(catalog->state);
    pthread_mutex_unlock(&catalog->lock);
    return grace;
}

mrd_time_ms mrd_catalog_grace_ms(struct mrd_catalog *catalog)
{
    const mrd_time_ms said_ms = grace_of(catalog).ms;
    return said_ms == 0 ? catalog->options.grace_ms : said_ms;
}

mrd_time_ms mrd_catalog_kept_ms(struct mrd_catalog *catalog)
{
    const struct mrd_catalog_grace grace = grace_of(catalog);
    const mrd_time_ms ms = grace.ms == 0 ? catalog->options.grace_ms : grace.ms;
    const bool is_held = mrd_clock_now_ms(catalog->options.clock) < grace.before_until_ms;
    return is_held ? MRD_MAX(ms, grace.before_ms) : ms;
}

void mrd_catalog_stats(struct mrd_catalog *catalog, struct mrd_catalog_stats *out)
{
    pthread_mutex_lock(&catalog->lock);
    *out = catalog->stats;
    pthread_mutex_unlock(&catalog->lock);
}

/* ---- reading ---- */

/* Applies the object to the state. MRD_E_NOT_FOUND: there is no such object. What a record demands was so when it was
 * written, so a record that does not fit is corrupt. */
static enum mrd_status record_read(struct mrd_catalog *catalog, struct mrd_catalog_state *state,
                                   enum cat_record_kind kind, uint64_t number,
                                   const struct mrd_objstore_control *control,
                                   struct mrd_error *err)
{
    char key[CAT_KEY_MAX];
    mrd_auto(mrd_buf_fini)
    struct mrd_buf bytes = {0};
    if (kind == CAT_COMMIT) {
        cat_commit_key(key, number);
    } else {
        cat_checkpoint_key(key, number);
    }
    MRD_TRY(mrd_objstore_get(catalog->options.store, key,
                             kind == CAT_COMMIT ? MRD_CATALOG_COMMIT_SIZE_MAX
                                                : MRD_CATALOG_CHECKPOINT_SIZE_MAX,
                             control, &bytes, err));
    const enum mrd_status status = cat_state_apply_record(state, mrd_buf_view(&bytes), kind, number,
                                                          catalog->options.memory_bytes_max, err);
    if (status == MRD_E_CONFLICT) {
        char why[sizeof(err->text)] = "";
        if (err != NULL) {
            memcpy(why, err->text, sizeof(why));
        }
        return mrd_fail(err, MRD_E_CORRUPT, "%s does not follow from what is before it: %.300s",
                        key, why);
    }
    return status == MRD_OK ? MRD_OK : mrd_fail_prefix(err, status, "%s", key);
}

/* Applies the commits behind the state's number. *state is replaced by the newest state. */
static enum mrd_status commits_read(struct mrd_catalog *catalog, struct mrd_catalog_state **state,
                                    const struct mrd_objstore_control *control,
                                    struct mrd_error *err)
{
    for (;;) {
        struct mrd_catalog_state *next = cat_state_copy(*state);
        const enum mrd_status status =
            record_read(catalog, next, CAT_COMMIT, (*state)->number + 1, control, err);
        if (status != MRD_OK) {
            mrd_catalog_unpin(&next);
            return status == MRD_E_NOT_FOUND ? MRD_OK : status;
        }
        mrd_catalog_unpin(state);
        *state = next;
    }
}

struct latest {
    uint64_t checkpoint;
    uint64_t commit;
};

static bool note_latest(void *context, const struct mrd_objstore_entry *entry)
{
    struct latest *latest = context;
    uint64_t number;
    bool checkpoint;
    if (cat_key_parse(entry->key, &number, &checkpoint)) {
        uint64_t *of = checkpoint ? &latest->checkpoint : &latest->commit;
        *of = MRD_MAX(*of, number);
    }
    return true;
}

/* Looks from the hint on, and at everything if that finds no checkpoint. */
static enum mrd_status latest_find(struct mrd_catalog *catalog,
                                   const struct mrd_objstore_control *control, struct latest *out,
                                   struct mrd_error *err)
{
    uint64_t hint;
    char after[CAT_KEY_MAX];
    *out = (struct latest){0};
    MRD_TRY(hint_read(catalog, control, &hint, err));
    if (hint > 0) {
        cat_commit_key(after, hint - 1);
        MRD_TRY(mrd_objstore_list(catalog->options.store, CAT_PREFIX, after, note_latest, out,
                                  control, err));
    }
    return out->checkpoint > 0 ? MRD_OK
                               : mrd_objstore_list(catalog->options.store, CAT_PREFIX, "",
                                                   note_latest, out, control, err);
}

/* From the latest checkpoint. */
static enum mrd_status load(struct mrd_catalog *catalog, const struct mrd_objstore_control *control,
                            struct mrd_error *err)
{
    struct latest latest;
    MRD_TRY(latest_find(catalog, control, &latest, err));
    struct mrd_catalog_state *state = cat_state_new();
    enum mrd_status status = MRD_OK;
    if (latest.checkpoint > 0) {
        status = record_read(catalog, state, CAT_CHECKPOINT, latest.checkpoint, control, err);
    }
    if (status == MRD_OK) {
        status = commits_read(catalog, &state, control, err);
    }
    if (status == MRD_OK && state->number < latest.commit) {
        status =
            mrd_fail(err, MRD_E_CORRUPT,
                     "commit %" PRIu64 " of the catalog is missing, number %" PRIu64 " is there",
                     state->number + 1, latest.commit);
    }
    if (status != MRD_OK) {
        mrd_catalog_unpin(&state);
        return status;
    }
    catalog->checkpoint = latest.checkpoint;
    publish(catalog, state);
    return MRD_OK;
}

/* Applies what follows the state in force. */
static enum mrd_status follow(struct mrd_catalog *catalog,
                              const struct mrd_objstore_control *control, struct mrd_error *err)
{
    struct mrd_catalog_state *state = mrd_catalog_pin(catalog);
    const uint64_t before = state->number;
    const enum mrd_status status = commits_read(catalog, &state, control, err);
    if (status != MRD_OK || state->number == before) {
        mrd_catalog_unpin(&state);
        return status;
    }
    publish(catalog, state);
    return MRD_OK;
}

/* That no commit follows may also mean that those which did are swept: others have gone on for longer than the grace. */
enum mrd_status cat_refresh(struct mrd_catalog *catalog, const struct mrd_objstore_control *control,
                            struct mrd_error *err)
{
    uint64_t hint;
    MRD_TRY(follow(catalog, control, err));
    MRD_TRY(hint_read(catalog, control, &hint, err));
    return hint > catalog->state->number ? load(catalog, control, err) : MRD_OK;
}

enum mrd_status mrd_catalog_refresh(struct mrd_catalog *catalog,
                                    const struct mrd_objstore_control *control,
                                    struct mrd_error *err)
{
    pthread_mutex_lock(&catalog->work);
    const enum mrd_status status = cat_refresh(catalog, control, err);
    pthread_mutex_unlock(&catalog->work);
    return status;
}

/* ---- life ---- */

static enum mrd_status options_take(struct mrd_catalog *catalog,
                                    const struct mrd_catalog_options *options,
                                    struct mrd_error *err)
{
    const char *writer = options->writer == NULL ? "" : options->writer;
    if (strlen(writer) > MRD_CATALOG_WRITER_SIZE_MAX) {
        return mrd_fail(err, MRD_E_INVALID, "the writer's name has more than %d bytes",
                        MRD_CATALOG_WRITER_SIZE_MAX);
    }
    if (options->grace_ms != 0 && options->grace_ms < MRD_CATALOG_GRACE_MS_MIN) {
        return mrd_fail(err, MRD_E_INVALID, "a grace of %lld ms is below a minute",
                        (long long)options->grace_ms);
    }
    catalog->options = *options;
    (void)snprintf(catalog->writer, sizeof(catalog->writer), "%s", writer);
    struct mrd_catalog_options *own = &catalog->options;
    own->writer = catalog->writer;
    own->clock = own->clock == NULL ? mrd_clock_system() : own->clock;
    own->checkpoint_every =
        own->checkpoint_every == 0 ? MRD_CATALOG_CHECKPOINT_EVERY : own->checkpoint_every;
    own->grace_ms = own->grace_ms == 0 ? MRD_CATALOG_GRACE_MS : own->grace_ms;
    own->memory_bytes_max = own->memory_bytes_max == 0 ? (size_t)1 << 30 : own->memory_bytes_max;
    return MRD_OK;
}

enum mrd_status mrd_catalog_open(const struct mrd_catalog_options *options,
                                 const struct mrd_objstore_control *control,
                                 struct mrd_catalog **out_catalog, struct mrd_error *err)
{
    struct mrd_catalog *catalog = calloc(1, sizeof(*catalog));
    mrd_assert(catalog != NULL);
    pthread_mutex_init(&catalog->work, NULL);
    pthread_mutex_init(&catalog->lock, NULL);
    enum mrd_status status = options_take(catalog, options, err);
    if (status == MRD_OK) {
        status = load(catalog, control, err);
    }
    if (status != MRD_OK) {
        mrd_catalog_close(&catalog);
        return status;
    }
    *out_catalog = catalog;
    return MRD_OK;
}

void mrd_catalog_close(struct mrd_catalog **catalog)
{
    struct mrd_catalog *self = *catalog;
    *catalog = NULL;
    if (self != NULL) {
        mrd_catalog_unpin(&self->state);
        pthread_mutex_destroy(&self->work);
        pthread_mutex_destroy(&self->lock);
        free(self);
    }
}

/* ---- checkpoints ---- */

static enum mrd_status checkpoint_write(struct mrd_catalog *catalog,
                                        const struct mrd_objstore_control *control,
                                        struct mrd_error *err)
{
    const struct mrd_catalog_state *state = catalog->state;
    char key[CAT_KEY_MAX];
    mrd_auto(mrd_buf_fini)
    struct mrd_buf bytes = {0};
    mrd_buf_init(&bytes, MRD_CATALOG_CHECKPOINT_SIZE_MAX);
    cat_state_encode(state, &bytes);
    if (bytes.failed) {
        return mrd_fail(err, MRD_E_LIMIT, "a checkpoint of the catalog has more than %d bytes",
                        MRD_CATALOG_CHECKPOINT_SIZE_MAX);
    }
    cat_checkpoint_key(key, state->number);
    const enum mrd_status status =
        mrd_objstore_put_if_absent(catalog->options.store, key, mrd_buf_view(&bytes), control, err);
    if (status != MRD_OK && status != MRD_E_CONFLICT) { /* another release may write other bytes */
        return status;
    }
    catalog->checkpoint = state->number;
    return hint_write(catalog, control, state->number, err);
}

/* The commit stands whatever comes of this; it is tried again at the next one. */
static void checkpoint_maybe(struct mrd_catalog *catalog,
                             const struct mrd_objstore_control *control)
{
    if (catalog->state->number < catalog->checkpoint + catalog->options.checkpoint_every) {
        return;
    }
    const enum mrd_status status = checkpoint_write(catalog, control, NULL);
    count(catalog,
          status == MRD_OK ? &catalog->stats.checkpoints : &catalog->stats.checkpoint_failures);
}

enum mrd_status mrd_catalog_checkpoint(struct mrd_catalog *catalog,
                                       const struct mrd_objstore_control *control,
                                       struct mrd_error *err)
{
    pthread_mutex_lock(&catalog->work);
    enum mrd_status status = cat_refresh(catalog, control, err);
    if (status == MRD_OK && catalog->state->number > catalog->checkpoint) {
        status = checkpoint_write(catalog, control, err);
    }
    pthread_mutex_unlock(&catalog->work);
    return status;
}

static bool note_oldest(void *context, const struct mrd_objstore_entry *entry)
{
    uint64_t number;
    bool checkpoint;
    const bool found = cat_key_parse(entry->key, &number, &checkpoint);
    if (found) {
        *(uint64_t *)context = number; /* keys come in their order */
    }
    return !found;
}

enum mrd_status mrd_catalog_oldest(struct mrd_catalog *catalog,
                                   const struct mrd_objstore_control *control, uint64_t *out_number,
                                   struct mrd_error *err)
{
    *out_number = 0;
    return mrd_objstore_list(catalog->options.store, CAT_PREFIX, "", note_oldest, out_number,
                             control, err);
}

/* ---- committing ---- */

static enum mrd_status record_make(struct mrd_catalog *catalog, const struct cat_wish *wish,
                                   uint64_t number, struct mrd_buf *out, struct mrd_error *err)
{
    struct cat_header header = {
        .kind = CAT_COMMIT,
        .number = number,
        .time_ms = mrd_clock_now_ms(catalog->options.clock),
        .writer = mrd_bytes_of(catalog->writer),
    };
    /* Never fails: a few bytes from an initialised pool (getrandom(2)). */
    mrd_assert(getrandom(header.nonce, sizeof(header.nonce), 0) == (ssize_t)sizeof(header.nonce));
    mrd_buf_init(out, MRD_CATALOG_COMMIT_SIZE_MAX);
    cat_record_begin(out, &header);
    mrd_buf_append_bytes(out, mrd_buf_view(wish->actions));
    cat_record_end(out);
    return out->failed ? mrd_fail(err, MRD_E_INVALID, "a commit of more than %d bytes",
                                  MRD_CATALOG_COMMIT_SIZE_MAX)
                       : MRD_OK;
}

/* Puts the record and makes `next` the state in force. *out_lost: another writer has the number. */
static enum mrd_status record_put(struct mrd_catalog *catalog, struct mrd_bytes record,
                                  struct mrd_catalog_state **next,
                                  const struct mrd_objstore_control *control, bool *out_lost,
                                  struct mrd_error *err)
{
    char key[CAT_KEY_MAX];
    cat_commit_key(key, (*next)->number);
    enum mrd_status status;
    int tries = 0;
    do { /* the same bytes, until it is known whether they are there */
        status = mrd_objstore_put_if_absent(catalog->options.store, key, record, control, err);
    } while (status == MRD_E_UNAVAILABLE && ++tries < 3);
    *out_lost = status == MRD_E_CONFLICT;
    if (status == MRD_OK) {
        publish(catalog, *next);
        *next = NULL;
    }
    return *out_lost ? MRD_OK : status;
}

/* One try: on the state in force. */
static enum mrd_status commit_try(struct mrd_catalog *catalog, const struct cat_wish *wish,
                                  const struct mrd_objstore_control *control, bool *out_lost,
                                  struct mrd_error *err)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf record = {0};
    mrd_auto(mrd_catalog_unpin)
    struct mrd_catalog_state *next = cat_state_copy(catalog->state);
    const uint64_t number = next->number + 1;
    *out_lost = false;
    MRD_TRY(record_make(catalog, wish, number, &record, err));
    MRD_TRY(cat_state_apply_record(next, mrd_buf_view(&record), CAT_COMMIT, number,
                                   catalog->options.memory_bytes_max, err));
    return record_put(catalog, mrd_buf_view(&record), &next, control, out_lost, err);
}

/* The chain that was added to may be one that others have left behind: whose number was swept after we had read up to it. Then
 * nobody reads the commit, and it does not count. */
static enum mrd_status chain_check(struct mrd_catalog *catalog, const struct cat_wish *wish,
                                   const struct mrd_objstore_control *control,
                                   struct mrd_error *err)
{
    uint64_t hint;
    MRD_TRY(hint_read(catalog, control, &hint, err));
    if (hint <= catalog->state->number) {
        return MRD_OK;
    }
    MRD_TRY(load(catalog, control, err));
    return wish->done(wish->context, catalog->state)
               ? MRD_OK
               : mrd_fail(err, MRD_E_CONFLICT,
                          "the catalog has gone on, and has forgotten where this process stood");
}

enum mrd_status cat_commit(struct mrd_catalog *catalog, const struct cat_wish *wish,
                           const struct mrd_objstore_control *control, struct mrd_error *err)
{
    MRD_TRY(cat_refresh(catalog, control, err));
    for (;;) {
        bool lost;
        if (wish->done(wish->context, catalog->state)) {
            return MRD_OK;
        }
        MRD_TRY(commit_try(catalog, wish, control, &lost, err));
        if (!lost) {
            break;
        }
        count(catalog, &catalog->stats.lost);
        MRD_TRY(mrd_objstore_check(control, err));
        MRD_TRY(cat_refresh(catalog, control, err));
    }
    MRD_TRY(chain_check(catalog, wish, control, err));
    count(catalog, &catalog->stats.commits);
    checkpoint_maybe(catalog, control);
    return MRD_OK;
}
