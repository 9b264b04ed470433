/* Questions about the partitions' logs over HTTP, worked on by a thread of its own. */
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

#include "compactor/logs.h"

enum { ANSWER_MS = 20000, MARGIN_MS = 500 };
static const int64_t MS = 1000000;

struct question {
    struct mrd_http_request *request;
    bool adopt;
    uint32_t first; /* partitions */
    uint32_t end;
    uint64_t lost_through;
};

struct cmp_logs {
    struct cmp_logs_options options;
    pthread_t thread;
    _Atomic bool stopping; /* relaxed, the lock orders what depends on it */

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t wake;
    struct question waiting[CMP_LOGS_WAITING_MAX];
    size_t waiting_count;
    bool stopped;
};

/* ---- answers ---- */

static const char *const belongs_names[] = {
    [CMP_LOG_SAME] = "same",         [CMP_LOG_UNBUILT] = "unbuilt", [CMP_LOG_NEW] = "new",
    [CMP_LOG_RESTORED] = "restored", [CMP_LOG_MISSING] = "missing",
};

/* Texts of ours, with a name or two in them that others have given. */
static void put_text(struct mrd_buf *out, const char *text)
{
    mrd_buf_append_u8(out, '"');
    for (; *text != '\0'; text++) {
        const uint8_t c = (uint8_t)*text;
        if (c == '"' || c == '\\') {
            mrd_buf_append_u8(out, '\\');
        }
        mrd_buf_append_u8(out, c < ' ' ? ' ' : c);
    }
    mrd_buf_append_u8(out, '"');
}

static void put_heads(const struct cmp_logs_options *options, uint32_t partition,
                      struct mrd_buf *out)
{
    const struct mrd_members_snapshot *snapshot = mrd_members_acquire(options->members);
    const char *separator = "";
    mrd_buf_append_text(out, ",\"heads\":[");
    for (size_t i = 0; i < snapshot->count; i++) {
        const struct mrd_member *member = &snapshot->members[i];
        for (size_t k = 0; k < member->partition_count; k++) {
            const struct mrd_member_partition *record = &member->partitions[k];
            if (record->partition != partition) {
                continue;
            }
            mrd_buf_printf(out,
                           "%s{\"instance\":\"%s\",\"created_ns\":%" PRId64 ",\"base\":%" PRIu64
                           ",\"first\":%" PRIu64 ",\"applied\":%" PRIu64 "}",
                           separator, member->instance, record->log.created_ns, record->log.base,
                           record->sequence_first, record->sequence);
            separator = ",";
        }
    }
    mrd_buf_append_text(out, "]");
    mrd_members_release(&snapshot);
}

static void put_look(const struct cmp_logs_options *options, const struct cmp_log_look *look,
                     struct mrd_buf *out)
{
    const struct mrd_log_state *stream = &look->stream;
    mrd_buf_printf(out, "{\"partition\":%" PRIu32 ",\"belongs\":\"%s\"", look->built.partition,
                   belongs_names[look->belongs]);
    if (look->belongs != CMP_LOG_MISSING) {
        mrd_buf_printf(out,
                       ",\"stream\":{\"created_ns\":%" PRId64 ",\"first\":%" PRIu64
                       ",\"last\":%" PRIu64 ",\"base\":%" PRIu64 "},\"first\":%" PRIu64
                       ",\"last\":%" PRIu64,
                       stream->identity.created_ns, stream->stream_first, stream->stream_last,
                       stream->identity.base, stream->sequence_first, stream->sequence_last);
    }
    mrd_buf_printf(out,
                   ",\"built\":{\"sequence\":%" PRIu64 ",\"created_ns\":%" PRId64
                   ",\"base\":%" PRIu64 ",\"stored_ms\":%" PRId64 "},\"known_end\":%" PRIu64,
                   look->built.sequence, look->built.log.created_ns, look->built.log.base,
                   look->built.stored_ms, look->known_end);
    put_heads(options, look->built.partition, out);
    if (look->why.status != MRD_OK) {
        mrd_buf_append_text(out, ",\"why\":");
        put_text(out, look->why.text);
    }
    mrd_buf_append_text(out, "}");
}

static void begin(const struct cmp_logs *logs, struct mrd_buf *out)
{
    struct mrd_catalog_state *state = mrd_catalog_pin(logs->options.catalog);
    mrd_buf_printf(out,
                   "{\"status\":\"success\",\"data\":{\"catalog\":%" PRIu64 ",\"partitions\":[",
                   mrd_catalog_number(state));
    mrd_catalog_unpin(&state);
}

static void finish(struct mrd_http_request *request, struct mrd_buf *body)
{
    mrd_buf_append_text(body, "]}}\n");
    mrd_http_header_set(request, "Content-Type", "application/json");
    mrd_http_reply(request, 200, body);
}

static void fail(struct mrd_http_request *request, const struct mrd_error *err)
{
    mrd_http_reply_text(request, err->status == MRD_E_CONFLICT ? 409 : 503, "%s\n", err->text);
}

/* ---- work ---- */

static enum mrd_status look_at_all(const struct cmp_logs *logs, const struct question *question,
                                   const struct mrd_objstore_control *control, struct mrd_buf *body,
                                   struct mrd_error *err)
{
    MRD_TRY(mrd_catalog_refresh(logs->options.catalog, control, err));
    begin(logs, body);
    for (uint32_t p = question->first; p < question->end; p++) {
        struct cmp_log_look look;
        MRD_TRY(cmp_logs_look(&logs->options, p, &look, err));
        mrd_buf_append_text(body, p == question->first ? "" : ",");
        put_look(&logs->options, &look, body);
    }
    return MRD_OK;
}

static void answer_look(const struct cmp_logs *logs, const struct question *question,
                        const struct mrd_objstore_control *control)
{
    struct mrd_buf body = {0};
    struct mrd_error err = {0};
    if (look_at_all(logs, question, control, &body, &err) != MRD_OK) {
        mrd_buf_fini(&body);
        fail(question->request, &err);
        return;
    }
    finish(question->request, &body);
}

/* Those that can be, whatever the others say. */
static void answer_adopt(const struct cmp_logs *logs, const struct question *question,
                         const struct mrd_objstore_control *control)
{
    struct mrd_buf adopted = {0};
    struct mrd_buf refused = {0};
    bool later = false;
    const char *separator = "";
    for (uint32_t p = question->first; p < question->end; p++) {
        bool any = false;
        struct mrd_error err = {0};
        if (cmp_logs_adopt(&logs->options, p, question->lost_through, control, &any, &err) !=
            MRD_OK) {
            later = later || err.status != MRD_E_CONFLICT;
            mrd_buf_printf(&refused, "%s\n", err.text);
        } else if (any) {
            mrd_buf_printf(&adopted, "%s{\"partition\":%" PRIu32 "}", separator, p);
            separator = ",";
        }
    }
    if (refused.size > 0) {
        mrd_http_reply_text(question->request, later ? 503 : 409, "%.*s",
                            MRD_FMT(mrd_buf_view(&refused)));
    } else {
        struct mrd_buf body = {0};
        begin(logs, &body);
        mrd_buf_append_bytes(&body, mrd_buf_view(&adopted));
        finish(question->request, &body);
    }
    mrd_buf_fini(&adopted);
    mrd_buf_fini(&refused);
}

/* False at the end. */
static bool take_question(struct cmp_logs *logs, struct question *out)
{
    pthread_mutex_lock(&logs->lock);
    while (logs->waiting_count == 0 &&
           !atomic_load_explicit(&logs->stopping, memory_order_relaxed)) {
        pthread_cond_wait(&logs->wake, &logs->lock);
    }
    const bool any = logs->waiting_count > 0;
    if (any) {
        *out = logs->waiting[0];
        logs->waiting_count--;
        memmove(logs->waiting, logs->waiting + 1, logs->waiting_count * sizeof(logs->waiting[0]));
    }
    pthread_mutex_unlock(&logs->lock);
    return any;
}

static void *run(void *context)
{
    struct cmp_logs *logs = context;
    struct question question;
    while (take_question(logs, &question)) {
        const int64_t now_ns = mrd_clock_monotonic_ns(mrd_clock_system());
        const struct mrd_objstore_control control = {
            .canceled = &logs->stopping,
            .clock = mrd_clock_system(),
            .deadline_ns = MRD_MIN(now_ns + ANSWER_MS * MS,
                                   mrd_http_deadline_ns(question.request) - MARGIN_MS * MS)};
        if (atomic_load_explicit(&logs->stopping, memory_order_relaxed)) {
            mrd_http_reply_text(question.request, 503, "this compactor stops; ask another\n");
        } else if (question.adopt) {
            answer_adopt(logs, &question, &control);
        } else {
            answer_look(logs, &question, &control);
        }
    }
    return NULL;
}

/* ---- requests ---- */

/* *out stays where the parameter is not given. */
static bool number_get(const struct mrd_http_params *params, const char *name, uint64_t max,
                       uint64_t *out)
{
    struct mrd_bytes text;
    uint64_t value = 0;
    if (!mrd_http_param_get(params, name, &text)) {
        return true;
    }
    for (size_t i = 0; i < text.size; i++) {
        const uint8_t c = text.data[i];
        if (c < '0' || c > '9' || value > max / 10) {
            return false;
        }
        value = value * 10 + (uint64_t)(c - '0');
    }
    *out = value;
    return text.size > 0 && value <= max;
}

static void post(struct cmp_logs *logs, const struct question *question)
{
    pthread_mutex_lock(&logs->lock);
    const bool stopping = atomic_load_explicit(&logs->stopping, memory_order_relaxed);
    const bool taken = !stopping && logs->waiting_count < CMP_LOGS_WAITING_MAX;
    if (taken) {
        logs->waiting[logs->waiting_count++] = *question;
        pthread_cond_broadcast(&logs->wake);
    }
    pthread_mutex_unlock(&logs->lock);
    if (!taken) {
        mrd_http_reply_text(question->request, 503, "%s\n",
                            stopping ? "this compactor stops; ask another"
                                     : "too many requests wait; ask again later");
    }
}

static void on_request(struct cmp_logs *logs, struct mrd_http_request *request, bool adopt)
{
    static const uint64_t lost_max = UINT64_C(1) << 60;
    struct mrd_http_params params;
    struct mrd_error err;
    if (mrd_http_params_parse(request, &params, &err) != MRD_OK) {
        mrd_http_reply_text(request, 400, "%s\n", err.text);
        return;
    }
    uint64_t partition = UINT64_MAX;
    struct question question = {
        .request = request, .adopt = adopt, .end = logs->options.partition_count};
    if (!number_get(&params, "partition", logs->options.partition_count - 1, &partition) ||
        !number_get(&params, "lost_through", lost_max, &question.lost_through)) {
        mrd_http_reply_text(request, 400,
                            "the parameter partition is a number below %" PRIu32
                            ", lost_through a position in a log\n",
                            logs->options.partition_count);
        return;
    }
    if (partition != UINT64_MAX) {
        question.first = (uint32_t)partition;
        question.end = question.first + 1;
    }
    post(logs, &question);
}

static void on_look(void *context, struct mrd_http_request *request)
{
    on_request(context, request, false);
}
static void on_adopt(void *context, struct mrd_http_request *request)
{
    on_request(context, request, true);
}

/* ---- life ---- */

enum mrd_status cmp_logs_create(const struct cmp_logs_options *options,
                                struct mrd_http_server *server, struct cmp_logs **out_logs,
                                struct mrd_error *err)
{
    struct cmp_logs *logs = calloc(1, sizeof(*logs));
    mrd_assert(logs != NULL);
    logs->options = *options;
    pthread_mutex_init(&logs->lock, NULL);
    pthread_cond_init(&logs->wake, NULL);
    const int code = pthread_create(&logs->thread, NULL, run, logs);
    if (code != 0) {
        logs->stopped = true;
        cmp_logs_destroy(&logs);
        return mrd_fail(err, MRD_E_UNAVAILABLE, "logs: no thread: %s", strerror(code));
    }
    (void)pthread_setname_np(logs->thread, "logs");
    const struct mrd_http_route routes[] = {
        {.methods = MRD_HTTP_GET,  .path = "/logs",       .handler = on_look,  .context = logs},
        {.methods = MRD_HTTP_POST, .path = "/logs/adopt", .handler = on_adopt, .context = logs},
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(routes); i++) {
        mrd_http_route_add(server, &routes[i]);
    }
    *out_logs = logs;
    return MRD_OK;
}

void cmp_logs_stop(struct cmp_logs *logs)
{
    pthread_mutex_lock(&logs->lock);
    const bool stopped = logs->stopped;
    logs->stopped = true;
    atomic_store_explicit(&logs->stopping, true, memory_order_relaxed);
    pthread_cond_broadcast(&logs->wake);
    pthread_mutex_unlock(&logs->lock);
    if (!stopped) {
        pthread_join(logs->thread, NULL);
    }
}

void cmp_logs_destroy(struct cmp_logs **logs)
{
    if (*logs == NULL) {
        return;
    }
    struct cmp_logs *self = MRD_MOVE(*logs);
    cmp_logs_stop(self);
    pthread_cond_destroy(&self->wake);
    pthread_mutex_destroy(&self->lock);
    free(self);
}
