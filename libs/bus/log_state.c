/* A partition's log as it is: where it stands, what its stream's sequences mean, what of it goes. */
#include <stdlib.h>

#include "bus/log_admin.h"
#include "bus/log_change_internal.h"
#include "bus/log_names.h"
#include "bus/request_internal.h"

enum { SUBJECT_MAX = MRD_LOG_NAME_MAX + 32 /* of JetStream's API */ };

static void js_close(jsCtx **js) { jsCtx_Destroy(*js); }
static void msg_close(natsMsg **msg) { natsMsg_Destroy(*msg); }

/* The answer of one of JetStream's questions, which it may be asked again. */
static struct mrd_bytes reply_bytes(const struct mrd_request *request)
{
    return (struct mrd_bytes){(const uint8_t *)natsMsg_GetData(request->reply),
                              (size_t)natsMsg_GetDataLength(request->reply)};
}

static enum mrd_status info_take(const struct mrd_request *request, uint32_t partition,
                                 struct mrd_log_state *out, struct mrd_error *err)
{
    char name[MRD_LOG_NAME_MAX];
    const enum mrd_status status = mrd_log_info_parse(reply_bytes(request), out, err);
    return status == MRD_OK
               ? MRD_OK
               : mrd_fail_prefix(err, status, "stream %s", mrd_log_stream_name(partition, name));
}

static void info_subject(uint32_t partition, char out[SUBJECT_MAX])
{
    char name[MRD_LOG_NAME_MAX];
    (void)snprintf(out, SUBJECT_MAX, "$JS.API.STREAM.INFO.%s",
                   mrd_log_stream_name(partition, name));
}

static enum mrd_status state_read(struct mrd_bus *bus, uint32_t partition, int64_t timeout_ms,
                                  const struct mrd_look *look, struct mrd_log_state *out,
                                  struct mrd_error *err)
{
    char subject[SUBJECT_MAX];
    info_subject(partition, subject);
    struct mrd_request request = {.subject = subject};
    enum mrd_status status = mrd_bus_request(bus, &request, 1, timeout_ms, look, err);
    status = status == MRD_OK
                 ? info_take(&request, partition, out, err)
                 : mrd_fail_prefix(err, status, "log of partition %" PRIu32, partition);
    natsMsg_Destroy(request.reply);
    return status;
}

enum mrd_status mrd_log_state_read(struct mrd_bus *bus, uint32_t partition, int64_t timeout_ms,
                                   struct mrd_log_state *out, struct mrd_error *err)
{
    return state_read(bus, partition, timeout_ms, NULL, out, err);
}

static enum mrd_status ends_take(const struct mrd_request *requests, uint32_t partition_count,
                                 struct mrd_log_end *out, struct mrd_error *err)
{
    for (uint32_t p = 0; p < partition_count; p++) {
        struct mrd_log_state state;
        MRD_TRY(info_take(&requests[p], p, &state, err));
        out[p] = (struct mrd_log_end){state.identity, state.sequence_last};
    }
    return MRD_OK;
}

enum mrd_status mrd_log_ends_read(struct mrd_bus *bus, uint32_t partition_count, int64_t timeout_ms,
                                  const struct mrd_look *look, struct mrd_log_end *out,
                                  struct mrd_error *err)
{
    struct mrd_request *requests = calloc(partition_count, sizeof(*requests));
    char(*subjects)[SUBJECT_MAX] = calloc(partition_count, sizeof(*subjects));
    mrd_assert(requests != NULL && subjects != NULL);
    for (uint32_t p = 0; p < partition_count; p++) {
        info_subject(p, subjects[p]);
        requests[p].subject = subjects[p];
    }
    enum mrd_status status = mrd_bus_request(bus, requests, partition_count, timeout_ms, look, err);
    status = status == MRD_OK ? ends_take(requests, partition_count, out, err)
                              : mrd_fail_prefix(err, status, "the ends of the log");
    for (uint32_t p = 0; p < partition_count; p++) {
        natsMsg_Destroy(requests[p].reply);
    }
    free(subjects);
    free(requests);
    return status;
}

enum mrd_status mrd_log_position(struct mrd_bus *bus, uint32_t partition, uint64_t stream_sequence,
                                 int64_t timeout_ms, uint64_t *out_sequence, struct mrd_error *err)
{
    struct mrd_log_state state;
    MRD_TRY(mrd_log_state_read(bus, partition, timeout_ms, &state, err));
    *out_sequence = mrd_log_map_position(&state.map, stream_sequence);
    return MRD_OK;
}

/* ---- entries ---- */

static enum mrd_status stored_read(struct mrd_bus *bus, uint32_t partition,
                                   uint64_t stream_sequence, int64_t timeout_ms,
                                   const struct mrd_look *look, mrd_time_ms *out_ms,
                                   struct mrd_error *err)
{
    char name[MRD_LOG_NAME_MAX];
    char subject[SUBJECT_MAX];
    char body[64];
    (void)snprintf(subject, sizeof(subject), "$JS.API.STREAM.MSG.GET.%s",
                   mrd_log_stream_name(partition, name));
    (void)snprintf(body, sizeof(body), "{\"seq\":%" PRIu64 "}", stream_sequence);
    struct mrd_request request = {.subject = subject, .body = mrd_bytes_of(body)};
    enum mrd_status status = mrd_bus_request(bus, &request, 1, timeout_ms, look, err);
    if (status == MRD_OK) {
        status = mrd_log_entry_parse(reply_bytes(&request), out_ms, err);
    }
    natsMsg_Destroy(request.reply);
    return status == MRD_OK
               ? MRD_OK
               : mrd_fail_prefix(err, status, "stream %s: entry %" PRIu64, name, stream_sequence);
}

/* When the entry with a position was stored, in a log that has been looked at. */
static enum mrd_status position_stored_read(struct mrd_bus *bus, uint32_t partition,
                                            const struct mrd_log_map *map, uint64_t sequence,
                                            int64_t timeout_ms, const struct mrd_look *look,
                                            mrd_time_ms *out_ms, struct mrd_error *err)
{
    const uint64_t at = mrd_log_map_sequence(map, sequence);
    return mrd_log_map_position(map, at) == sequence
               ? stored_read(bus, partition, at, timeout_ms, look, out_ms, err)
               : mrd_fail(err, MRD_E_NOT_FOUND,
                          "log of partition %" PRIu32 ": no entry has position %" PRIu64, partition,
                          sequence);
}

enum mrd_status mrd_log_stored_read(struct mrd_bus *bus, uint32_t partition, uint64_t sequence,
                                    int64_t timeout_ms, mrd_time_ms *out_ms, struct mrd_error *err)
{
    struct mrd_log_state state;
    MRD_TRY(mrd_log_state_read(bus, partition, timeout_ms, &state, err));
    return position_stored_read(bus, partition, &state.map, sequence, timeout_ms, NULL, out_ms,
                                err);
}

static enum mrd_status has_mark(struct mrd_bus *bus, uint32_t partition,
                                const struct mrd_log_state *log, struct mrd_log_mark mark,
                                int64_t timeout_ms, const struct mrd_look *look, bool *out_has,
                                struct mrd_error *out_why, struct mrd_error *err)
{
    mrd_time_ms stored_ms = mark.stored_ms;
    *out_has = log->sequence_last >= mark.sequence;
    if (!*out_has) {
        (void)mrd_fail(out_why, MRD_E_CORRUPT,
                       "the log ends at %" PRIu64 ", before %" PRIu64
                       ", up to which blocks are built: it was restored from a copy",
                       log->sequence_last, mark.sequence);
        return MRD_OK;
    }
    if (mark.sequence < log->sequence_first || mark.stored_ms == 0) {
        return MRD_OK;
    }
    const enum mrd_status status = position_stored_read(bus, partition, &log->map, mark.sequence,
                                                        timeout_ms, look, &stored_ms, err);
    /* Not found: trimmed meanwhile, or of a stream before this one, which was adopted. */
    if (status != MRD_OK && status != MRD_E_NOT_FOUND) {
        return status;
    }
    *out_has = stored_ms == mark.stored_ms;
    if (!*out_has) {
        (void)mrd_fail(out_why, MRD_E_CORRUPT,
                       "the log's entry %" PRIu64 " was stored at %" PRId64
                       " ms, the one that was built at %" PRId64
                       " ms: it was restored from a copy, and has gone on differently since",
                       mark.sequence, stored_ms, mark.stored_ms);
    }
    return MRD_OK;
}

enum mrd_status mrd_log_has_mark(struct mrd_bus *bus, uint32_t partition,
                                 const struct mrd_log_state *log, struct mrd_log_mark mark,
                                 int64_t timeout_ms, bool *out_has, struct mrd_error *out_why,
                                 struct mrd_error *err)
{
    return has_mark(bus, partition, log, mark, timeout_ms, NULL, out_has, out_why, err);
}

enum mrd_status mrd_log_mark_check(struct mrd_bus *bus, uint32_t partition,
                                   struct mrd_log_mark mark, int64_t timeout_ms,
                                   const struct mrd_look *look, bool *out_has,
                                   struct mrd_error *out_why, struct mrd_error *err)
{
    struct mrd_log_state log;
    MRD_TRY(state_read(bus, partition, timeout_ms, look, &log, err));
    return has_mark(bus, partition, &log, mark, timeout_ms, look, out_has, out_why, err);
}

/* Times of entries rise with their sequences. */
enum mrd_status mrd_log_stored_after(struct mrd_bus *bus, uint32_t partition,
                                     const struct mrd_log_state *log, mrd_time_ms time_ms,
                                     int64_t timeout_ms, uint64_t *out_stream_sequence,
                                     struct mrd_error *err)
{
    uint64_t low = log->stream_first;
    uint64_t high = log->stream_last + 1;
    while (low < high) {
        const uint64_t middle = low + (high - low) / 2;
        mrd_time_ms stored_ms;
        MRD_TRY(stored_read(bus, partition, middle, timeout_ms, NULL, &stored_ms, err));
        if (stored_ms > time_ms) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    *out_stream_sequence = low;
    return MRD_OK;
}

uint64_t mrd_log_file_bytes(int64_t bytes_max)
{
    enum { FILE_BYTES_MIN = 32 * 1000, FILE_BYTES_MAX = 8 << 20, FILE_BYTES_STEP = 100 };
    const uint64_t quarter = bytes_max <= 0 ? FILE_BYTES_MAX : (uint64_t)bytes_max / 4 + 1;
    const uint64_t rounded = quarter + FILE_BYTES_STEP;
    return MRD_MIN(MRD_MAX(rounded, (uint64_t)FILE_BYTES_MIN), (uint64_t)FILE_BYTES_MAX);
}

enum mrd_status mrd_log_class_last(struct mrd_bus *bus, uint32_t partition,
                                   const char *residency_class, int64_t timeout_ms,
                                   uint64_t *out_sequence, struct mrd_error *err)
{
    mrd_auto(js_close)
    jsCtx *js = NULL;
    MRD_TRY(mrd_bus_jetstream(bus, timeout_ms, &js, err));
    char name[MRD_LOG_NAME_MAX];
    char subject[MRD_LOG_NAME_MAX];
    mrd_auto(msg_close)
    natsMsg *message = NULL;
    jsErrCode code = 0;
    const natsStatus status =
        js_GetLastMsg(&message, js, mrd_log_stream_name(partition, name),
                      mrd_log_subject(partition, residency_class, subject), NULL, &code);
    if (status == NATS_NOT_FOUND && code != JSStreamNotFoundErr) {
        *out_sequence = 0;
        return MRD_OK;
    }
    if (status != NATS_OK) {
        return mrd_bus_fail(err, status, (int)code, "stream %s: last message of %s", name, subject);
    }
    struct mrd_log_state state;
    MRD_TRY(mrd_log_state_read(bus, partition, timeout_ms, &state, err));
    *out_sequence = mrd_log_map_position(&state.map, natsMsg_GetSequence(message));
    return MRD_OK;
}

/* ---- changing it ---- */

static enum mrd_status check_identity(uint32_t partition, struct mrd_log_identity want,
                                      struct mrd_log_identity have, struct mrd_error *err)
{
    return mrd_log_identity_equal(want, have)
               ? MRD_OK
               : mrd_fail(err, MRD_E_CONFLICT,
                          "the log of partition %" PRIu32
                          " is another than before: its stream was made at %" PRId64
                          " ns and has base %" PRIu64 ", not at %" PRId64 " ns and base %" PRIu64,
                          partition, have.created_ns, have.base, want.created_ns, want.base);
}

/* Changes the log's map, which may be newer than `map` then, but of the same log. */
static enum mrd_status describe(struct mrd_bus *bus, uint32_t partition,
                                const struct mrd_log_state *state, struct mrd_log_map map,
                                int64_t timeout_ms, struct mrd_error *err)
{
    const struct mrd_log_change change = {.map = &map, .map_before = &state->map};
    const struct mrd_log_identity want = {state->identity.created_ns, mrd_log_map_base(&map)};
    struct mrd_log_map now;
    MRD_TRY(mrd_log_change(bus, partition, &change, timeout_ms, &now, err));
    const struct mrd_log_identity have = {want.created_ns, mrd_log_map_base(&now)};
    return check_identity(partition, want, have, err);
}

enum mrd_status mrd_log_trim(struct mrd_bus *bus, uint32_t partition, struct mrd_log_identity log,
                             uint64_t sequence, mrd_hlc erased, int64_t timeout_ms,
                             struct mrd_error *err)
{
    mrd_auto(js_close)
    jsCtx *js = NULL;
    struct mrd_log_state state;
    MRD_TRY(mrd_bus_jetstream(bus, timeout_ms, &js, err));
    MRD_TRY(mrd_log_state_read(bus, partition, timeout_ms, &state, err));
    MRD_TRY(check_identity(partition, log, state.identity, err));
    if (!state.map.erased_known || state.map.erased < erased) {
        struct mrd_log_map map = state.map;
        map.erased_known = true;
        map.erased = MRD_MAX(map.erased, erased);
        MRD_TRY(describe(bus, partition, &state, map, timeout_ms, err));
    }
    jsOptions options;
    jsOptions_Init(&options);
    options.Wait = timeout_ms;
    options.Stream.Purge.Sequence = mrd_log_map_sequence(&state.map, sequence);
    char name[MRD_LOG_NAME_MAX];
    jsErrCode code = 0;
    const natsStatus status =
        js_PurgeStream(js, mrd_log_stream_name(partition, name), &options, &code);
    return status == NATS_OK ? MRD_OK
                             : mrd_bus_fail(err, status, (int)code, "stream %s: trim", name);
}

enum mrd_status mrd_log_adopt(struct mrd_bus *bus, uint32_t partition,
                              const struct mrd_log_adoption *adoption, int64_t timeout_ms,
                              struct mrd_log_identity *out, struct mrd_error *err)
{
    struct mrd_log_state state;
    MRD_TRY(mrd_log_state_read(bus, partition, timeout_ms, &state, err));
    MRD_TRY(check_identity(partition, adoption->log, state.identity, err));
    struct mrd_log_map map = state.map;
    MRD_TRY(
        mrd_log_map_add(&map, state.stream_first, adoption->stream_from, adoption->sequence, err));
    MRD_TRY(describe(bus, partition, &state, map, timeout_ms, err));
    *out = (struct mrd_log_identity){state.identity.created_ns, mrd_log_map_base(&map)};
    return MRD_OK;
}
