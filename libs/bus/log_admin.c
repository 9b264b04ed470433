#include "bus/log_admin.h"

#include <stdlib.h>

#include "bus/connection_internal.h"
#include "bus/log_change_internal.h"
#include "bus/log_names.h"

static const int64_t MS = 1000000;

static void js_close(jsCtx **js) { jsCtx_Destroy(*js); }
static void kv_close(kvStore **kv) { kvStore_Destroy(*kv); }
static void info_close(jsStreamInfo **info) { jsStreamInfo_Destroy(*info); }
static void entry_close(kvEntry **entry) { kvEntry_Destroy(*entry); }

/* ---- the region's record ---- */

static enum mrd_status record_parse(const char *text, struct mrd_log_region *out,
                                    struct mrd_error *err)
{
    struct mrd_log_region region = {0};
    char name[64] = "";
    uint32_t version = 0;
    if (sscanf(text, "version=%" SCNu32 " partitions=%" SCNu32 " region=%63s", &version,
               &region.partition_count, name) != 3 ||
        version != 1 || region.partition_count == 0 ||
        region.partition_count > MRD_LOG_PARTITIONS_MAX) {
        return mrd_fail(err, MRD_E_CORRUPT,
                        "KV " MRD_REGION_BUCKET "/" MRD_REGION_LOG_KEY " is not a record of ours: "
                        "\"%s\"",
                        text);
    }
    memcpy(region.region, name, sizeof(region.region));
    *out = region;
    return MRD_OK;
}

static enum mrd_status record_get(kvStore *kv, struct mrd_log_region *out, struct mrd_error *err)
{
    mrd_auto(entry_close)
    kvEntry *entry = NULL;
    const natsStatus status = kvStore_Get(&entry, kv, MRD_REGION_LOG_KEY);
    if (status != NATS_OK) {
        return mrd_bus_fail(err, status, 0, "KV " MRD_REGION_BUCKET "/" MRD_REGION_LOG_KEY);
    }
    const char *text = kvEntry_ValueString(entry);
    return record_parse(text == NULL ? "" : text, out, err);
}

static enum mrd_status bucket_open(jsCtx *js, uint32_t replicas, kvStore **out,
                                   struct mrd_error *err)
{
    natsStatus status = js_KeyValue(out, js, MRD_REGION_BUCKET);
    if (status == NATS_NOT_FOUND) {
        kvConfig config;
        kvConfig_Init(&config);
        config.Bucket = MRD_REGION_BUCKET;
        config.Description = "Meridian: what is fixed when a region is made";
        config.History = 1;
        config.StorageType = js_FileStorage;
        config.Replicas = (int)replicas;
        status = js_CreateKeyValue(out, js, &config);
    }
    return status == NATS_OK ? MRD_OK : mrd_bus_fail(err, status, 0, "KV " MRD_REGION_BUCKET);
}

static enum mrd_status record_check(const struct mrd_log_region *have,
                                    const struct mrd_log_config *want, struct mrd_error *err)
{
    if (strcmp(have->region, want->region) != 0) {
        return mrd_fail(err, MRD_E_INVALID,
                        "this NATS holds the log of region \"%s\", the configuration says \"%s\": "
                        "each region has a NATS of its own",
                        have->region, want->region);
    }
    if (have->partition_count != want->partition_count) {
        return mrd_fail(err, MRD_E_INVALID,
                        "the log of region \"%s\" was made with %" PRIu32
                        " partitions, the configuration says %" PRIu32
                        ": the number is fixed when a region is made, set it back",
                        have->region, have->partition_count, want->partition_count);
    }
    return MRD_OK;
}

/* First come, first written; everyone else compares. */
static enum mrd_status record_ensure(jsCtx *js, const struct mrd_log_config *config,
                                     struct mrd_error *err)
{
    mrd_auto(kv_close)
    kvStore *kv = NULL;
    MRD_TRY(bucket_open(js, config->replicas, &kv, err));
    struct mrd_log_region have;
    enum mrd_status status = record_get(kv, &have, err);
    if (status == MRD_E_NOT_FOUND) {
        char text[128];
        snprintf(text, sizeof(text), "version=1 partitions=%" PRIu32 " region=%s",
                 config->partition_count, config->region);
        uint64_t revision = 0;
        (void)kvStore_CreateString(&revision, kv, MRD_REGION_LOG_KEY, text); /* or lost the race */
        status = record_get(kv, &have, err);
    }
    MRD_TRY(status);
    return record_check(&have, config, err);
}

enum mrd_status mrd_log_region_read(struct mrd_bus *bus, int64_t timeout_ms,
                                    struct mrd_log_region *out, struct mrd_error *err)
{
    mrd_auto(js_close)
    jsCtx *js = NULL;
    MRD_TRY(mrd_bus_jetstream(bus, timeout_ms, &js, err));
    mrd_auto(kv_close)
    kvStore *kv = NULL;
    const natsStatus status = js_KeyValue(&kv, js, MRD_REGION_BUCKET);
    if (status != NATS_OK) {
        return mrd_bus_fail(err, status, 0, "KV " MRD_REGION_BUCKET);
    }
    return record_get(kv, out, err);
}

/* ---- streams ---- */

static void stream_config(const struct mrd_log_config *config, const char *name,
                          const char **subject, jsStreamConfig *out)
{
    jsStreamConfig_Init(out);
    out->Name = name;
    out->Description = "Meridian: partition log"; /* log_map.h adds to it */
    out->Subjects = subject;
    out->SubjectsLen = 1;
    out->Retention = js_LimitsPolicy;
    out->Storage = js_FileStorage;
    out->Discard = js_DiscardNew;
    out->Replicas = config->replicas;
    out->MaxBytes = config->bytes_max;
    out->MaxAge = config->age_ms_max * MS;
    out->Duplicates = config->duplicate_window_ms * MS;
}

/* What cannot be changed without losing or doubting data is not changed here. */
static enum mrd_status stream_check(const jsStreamConfig *have, const jsStreamConfig *want,
                                    struct mrd_error *err)
{
    const char *what = NULL;
    if (have->Storage != want->Storage) {
        what = "its storage is not the file system";
    } else if (have->Discard != want->Discard) {
        what = "it discards old messages when full; ours must refuse new ones";
    } else if (have->Retention != want->Retention) {
        what = "its retention is not by limits";
    } else if (have->NoAck) {
        what = "it does not acknowledge";
    } else if (have->SubjectsLen != 1 || strcmp(have->Subjects[0], want->Subjects[0]) != 0) {
        what = "it listens to other subjects";
    } else if (have->MaxMsgs > 0 || have->MaxMsgsPerSubject > 0) {
        what = "it limits the number of messages";
    } else if (have->Replicas != want->Replicas) {
        return mrd_fail(err, MRD_E_INVALID,
                        "stream %s has %" PRId64 " replicas, the configuration says %" PRId64
                        ": change one of them by hand",
                        want->Name, have->Replicas, want->Replicas);
    }
    if (what != NULL) {
        return mrd_fail(err, MRD_E_INVALID, "stream %s: %s; it was not made by Meridian",
                        want->Name, what);
    }
    return MRD_OK;
}

/* JetStream wants it no longer than the age. */
static int64_t duplicate_window_of(int64_t age_ms_max)
{
    return age_ms_max > 0 ? MRD_MIN(age_ms_max, (int64_t)MRD_LOG_DUPLICATE_WINDOW_MS_MIN)
                          : MRD_LOG_DUPLICATE_WINDOW_MS_MIN;
}

static bool limits_differ(const jsStreamConfig *have, const jsStreamConfig *want)
{
    return have->MaxBytes != want->MaxBytes || have->MaxAge != want->MaxAge ||
           have->Duplicates != want->Duplicates;
}

static enum mrd_status stream_ensure(struct mrd_bus *bus, jsCtx *js,
                                     const struct mrd_log_config *config, uint32_t partition,
                                     int64_t timeout_ms, struct mrd_error *err)
{
    char name[MRD_LOG_NAME_MAX];
    char subject_text[MRD_LOG_NAME_MAX];
    const char *subject = mrd_log_subject(partition, "*", subject_text);
    jsStreamConfig want;
    stream_config(config, mrd_log_stream_name(partition, name), &subject, &want);
    mrd_auto(info_close)
    jsStreamInfo *info = NULL;
    jsErrCode code = 0;
    natsStatus status = js_GetStreamInfo(&info, js, name, NULL, &code);
    if (status == NATS_NOT_FOUND || code == JSStreamNotFoundErr) {
        code = 0;
        status = js_AddStream(NULL, js, &want, NULL, &code);
        if (status == NATS_OK) {
            return MRD_OK;
        }
        if (code == JSStreamNameExistErr) { /* another process was faster */
            status = js_GetStreamInfo(&info, js, name, NULL, &code);
        }
    }
    if (status != NATS_OK) {
        return mrd_bus_fail(err, status, (int)code, "stream %s", name);
    }
    MRD_TRY(stream_check(info->Config, &want, err));
    const struct mrd_log_change change = {
        .limits = {true, config->age_decides, want.MaxBytes, want.MaxAge, want.Duplicates}
    };
    return limits_differ(info->Config, &want)
               ? mrd_log_change(bus, partition, &change, timeout_ms, NULL, err)
               : MRD_OK;
}

static enum mrd_status config_check(const struct mrd_log_config *config, struct mrd_error *err)
{
    if (!mrd_bus_token_valid(config->region, sizeof(((struct mrd_log_region *)0)->region))) {
        return mrd_fail(err, MRD_E_INVALID,
                        "region name \"%s\": 1 to 63 letters, digits, '-' or '_'",
                        config->region == NULL ? "" : config->region);
    }
    if (config->partition_count == 0 || config->partition_count > MRD_LOG_PARTITIONS_MAX) {
        return mrd_fail(err, MRD_E_INVALID, "partitions: %" PRIu32 ", must be 1 to %d",
                        config->partition_count, MRD_LOG_PARTITIONS_MAX);
    }
    if (config->replicas != 1 && config->replicas != 3 && config->replicas != 5) {
        return mrd_fail(err, MRD_E_INVALID, "log replicas: %" PRIu32 ", must be 1, 3 or 5",
                        config->replicas);
    }
    if (config->bytes_max <= 0) {
        return mrd_fail(err, MRD_E_INVALID,
                        "log byte limit: required, a full log must refuse before the disk is full");
    }
    if (config->duplicate_window_ms < MRD_LOG_DUPLICATE_WINDOW_MS_MIN &&
        config->duplicate_window_ms != config->age_ms_max) {
        return mrd_fail(err, MRD_E_INVALID, "log duplicate window: %" PRId64 " ms, at least %d",
                        config->duplicate_window_ms, MRD_LOG_DUPLICATE_WINDOW_MS_MIN);
    }
    if (config->age_ms_max != 0 && config->age_ms_max < config->duplicate_window_ms) {
        return mrd_fail(err, MRD_E_INVALID,
                        "log age: %" PRId64 " ms is shorter than the duplicate window of %" PRId64
                        " ms",
                        config->age_ms_max, config->duplicate_window_ms);
    }
    return MRD_OK;
}

enum mrd_status mrd_log_ensure(struct mrd_bus *bus, const struct mrd_log_config *config,
                               int64_t timeout_ms, struct mrd_error *err)
{
    struct mrd_log_config full = *config;
    if (full.duplicate_window_ms == 0) {
        full.duplicate_window_ms = duplicate_window_of(full.age_ms_max);
    }
    MRD_TRY(config_check(&full, err));
    mrd_auto(js_close)
    jsCtx *js = NULL;
    MRD_TRY(mrd_bus_jetstream(bus, timeout_ms, &js, err));
    MRD_TRY(record_ensure(js, &full, err));
    for (uint32_t partition = 0; partition < full.partition_count; partition++) {
        MRD_TRY(stream_ensure(bus, js, &full, partition, timeout_ms, err));
    }
    return MRD_OK;
}

enum mrd_status mrd_log_age_clear(struct mrd_bus *bus, uint32_t partition, int64_t timeout_ms,
                                  struct mrd_error *err)
{
    const struct mrd_log_change change = {
        .limits = {.set = true, .age_decides = true}
    };
    return mrd_log_change(bus, partition, &change, timeout_ms, NULL, err);
}
