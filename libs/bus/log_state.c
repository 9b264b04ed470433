/* A partition's log as it is: where it stands, what its stream's sequences mean, what of it goes. */
#include <stdlib.h>

#include "bus/connection_internal.h"
#include "bus/log_admin.h"
#include "bus/log_names.h"

static const int64_t MS = 1000000;

static void js_close(jsCtx **js) { jsCtx_Destroy(*js); }
static void info_close(jsStreamInfo **info) { jsStreamInfo_Destroy(*info); }
static void msg_close(natsMsg **msg) { natsMsg_Destroy(*msg); }

static enum mrd_status info_read(jsCtx *js, uint32_t partition, jsStreamInfo **out,
                                 struct mrd_error *err)
{
    char name[MRD_LOG_NAME_MAX];
    jsErrCode code = 0;
    const natsStatus status =
        js_GetStreamInfo(out, js, mrd_log_stream_name(partition, name), NULL, &code);
    return status == NATS_OK ? MRD_OK : mrd_bus_fail(err, status, (int)code, "stream %s", name);
}

static enum mrd_status state_of(const jsStreamInfo *info, struct mrd_log_state *out,
                                struct mrd_error *err)
{
    struct mrd_log_state state = {
        .stream_first = info->State.Msgs == 0 ? info->State.LastSeq + 1 : info->State.FirstSeq,
        .stream_last = info->State.LastSeq,
        .messages = info->State.Msgs,
        .bytes = info->State.Bytes,
        .bytes_max = info->Config->MaxBytes,
        .age_ms_max = info->Config->MaxAge / MS,
    };
    const enum mrd_status status = mrd_log_map_parse(info->Config->Description, &state.map, err);
    if (status != MRD_OK) {
        return mrd_fail_prefix(err, status, "stream %s", info->Config->Name);
    }
    state.identity = (struct mrd_log_identity){info->Created, mrd_log_map_base(&state.map)};
    state.sequence_first = mrd_log_map_position(&state.map, state.stream_first);
    state.sequence_last = mrd_log_map_last(&state.map, state.stream_last);
    *out = state;
    return MRD_OK;
}

static enum mrd_status state_read(jsCtx *js, uint32_t partition, struct mrd_log_state *out,
                                  struct mrd_error *err)
{
    mrd_auto(info_close)
    jsStreamInfo *info = NULL;
    MRD_TRY(info_read(js, partition, &info, err));
    return state_of(info, out, err);
}

enum mrd_status mrd_log_state_read(struct mrd_bus *bus, uint32_t partition, int64_t timeout_ms,
                                   struct mrd_log_state *out, struct mrd_error *err)
{
    mrd_auto(js_close)
    jsCtx *js = NULL;
    MRD_TRY(mrd_bus_jetstream(bus, timeout_ms, &js, err));
    return state_read(js, partition, out, err);
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

static enum mrd_status stored_read(jsCtx *js, uint32_t partition, uint64_t stream_sequence,
                                   mrd_time_ms *out_ms, struct mrd_error *err)
{
    char name[MRD_LOG_NAME_MAX];
    mrd_auto(msg_close)
    natsMsg *msg = NULL;
    jsErrCode code = 0;
    const natsStatus status =
        js_GetMsg(&msg, js, mrd_log_stream_name(partition, name), stream_sequence, NULL, &code);
    if (status != NATS_OK) {
        return mrd_bus_fail(err, status, (int)code, "stream %s: entry %" PRIu64, name,
                            stream_sequence);
    }
    *out_ms = natsMsg_GetTime(msg) / MS;
    return MRD_OK;
}

enum mrd_status mrd_log_stored_read(struct mrd_bus *bus, uint32_t partition, uint64_t sequence,
                                    int64_t timeout_ms, mrd_time_ms *out_ms, struct mrd_error *err)
{
    mrd_auto(js_close)
    jsCtx *js = NULL;
    struct mrd_log_state state;
    MRD_TRY(mrd_bus_jetstream(bus, timeout_ms, &js, err));
    MRD_TRY(state_read(js, partition, &state, err));
    const uint64_t at = mrd_log_map_sequence(&state.map, sequence);
    return mrd_log_map_position(&state.map, at) == sequence
               ? stored_read(js, partition, at, out_ms, err)
               : mrd_fail(err, MRD_E_NOT_FOUND,
                          "log of partition %" PRIu32 ": no entry has position %" PRIu64, partition,
                          sequence);
}

enum mrd_status mrd_log_has_mark(struct mrd_bus *bus, uint32_t partition,
                                 const struct mrd_log_state *log, struct mrd_log_mark mark,
                                 int64_t timeout_ms, bool *out_has, struct mrd_error *out_why,
                                 struct mrd_error *err)
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
    const enum mrd_status status =
        mrd_log_stored_read(bus, partition, mark.sequence, timeout_ms, &stored_ms, err);
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

/* Times of entries rise with their sequences. */
enum mrd_status mrd_log_stored_after(struct mrd_bus *bus, uint32_t partition,
                                     const struct mrd_log_state *log, mrd_time_ms time_ms,
                                     int64_t timeout_ms, uint64_t *out_stream_sequence,
                                     struct mrd_error *err)
{
    mrd_auto(js_close)
    jsCtx *js = NULL;
    MRD_TRY(mrd_bus_jetstream(bus, timeout_ms, &js, err));
    uint64_t low = log->stream_first;
    uint64_t high = log->stream_last + 1;
    while (low < high) {
        const uint64_t middle = low + (high - low) / 2;
        mrd_time_ms stored_ms;
        MRD_TRY(stored_read(js, partition, middle, &stored_ms, err));
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
    MRD_TRY(state_read(js, partition, &state, err));
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

enum mrd_status mrd_log_trim(struct mrd_bus *bus, uint32_t partition, struct mrd_log_identity log,
                             uint64_t sequence, int64_t timeout_ms, struct mrd_error *err)
{
    mrd_auto(js_close)
    jsCtx *js = NULL;
    struct mrd_log_state state;
    MRD_TRY(mrd_bus_jetstream(bus, timeout_ms, &js, err));
    MRD_TRY(state_read(js, partition, &state, err));
    MRD_TRY(check_identity(partition, log, state.identity, err));
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
    mrd_auto(js_close)
    jsCtx *js = NULL;
    mrd_auto(info_close)
    jsStreamInfo *info = NULL;
    struct mrd_log_state state;
    char text[MRD_LOG_MAP_TEXT_MAX];
    MRD_TRY(mrd_bus_jetstream(bus, timeout_ms, &js, err));
    MRD_TRY(info_read(js, partition, &info, err));
    MRD_TRY(state_of(info, &state, err));
    MRD_TRY(check_identity(partition, adoption->log, state.identity, err));
    MRD_TRY(mrd_log_map_add(&state.map, state.stream_first, adoption->stream_from,
                            adoption->sequence, err));
    jsStreamConfig want = *info->Config; /* whose strings are the info's */
    want.Description = mrd_log_map_format(&state.map, text);
    jsErrCode code = 0;
    const natsStatus status = js_UpdateStream(NULL, js, &want, NULL, &code);
    if (status != NATS_OK) {
        return mrd_bus_fail(err, status, (int)code, "stream %s: adoption", want.Name);
    }
    *out = (struct mrd_log_identity){info->Created, mrd_log_map_base(&state.map)};
    return MRD_OK;
}
