#include "bus/log_info.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "base/time_text.h"

static const int64_t NS_PER_MS = 1000000;

static void json_close(json_t **json) { json_decref(*json); }

/* A number that is not negative; 0 of what is none. */
static uint64_t number_of(const json_t *object, const char *name)
{
    const json_int_t value = json_integer_value(json_object_get(object, name));
    return value < 0 ? 0 : (uint64_t)value;
}

/* "" of what is no text. */
static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text == NULL ? "" : text;
}

static enum mrd_status answer_parse(struct mrd_bytes bytes, json_t **out, struct mrd_error *err)
{
    json_error_t where;
    mrd_auto(json_close)
    json_t *json = json_loadb((const char *)bytes.data, bytes.size, 0, &where);
    if (!json_is_object(json)) {
        return mrd_fail(err, MRD_E_CORRUPT, "an answer of JetStream's that is no object of JSON");
    }
    const json_t *error = json_object_get(json, "error");
    if (error != NULL) {
        const uint64_t code = number_of(error, "code");
        return mrd_fail(err, code == 404 ? MRD_E_NOT_FOUND : MRD_E_UNAVAILABLE,
                        "%s (JetStream error %" PRIu64 ")", text_of(error, "description"),
                        number_of(error, "err_code"));
    }
    *out = MRD_MOVE(json);
    return MRD_OK;
}

static bool time_of(const json_t *object, const char *name, int64_t *out_ns)
{
    return mrd_time_parse_ns(mrd_bytes_of(text_of(object, name)), out_ns);
}

enum mrd_status mrd_log_info_parse(struct mrd_bytes bytes, struct mrd_log_state *out,
                                   struct mrd_error *err)
{
    mrd_auto(json_close)
    json_t *json = NULL;
    MRD_TRY(answer_parse(bytes, &json, err));
    const json_t *config = json_object_get(json, "config");
    const json_t *stream = json_object_get(json, "state");
    int64_t created_ns;
    if (!json_is_object(config) || !json_is_object(stream) ||
        !time_of(json, "created", &created_ns)) {
        return mrd_fail(err, MRD_E_CORRUPT, "an answer of JetStream's without a stream's state");
    }
    struct mrd_log_state state = {
        .stream_last = number_of(stream, "last_seq"),
        .messages = number_of(stream, "messages"),
        .bytes = number_of(stream, "bytes"),
        .bytes_max = json_integer_value(json_object_get(config, "max_bytes")),
        .age_ms_max = json_integer_value(json_object_get(config, "max_age")) / NS_PER_MS,
    };
    state.stream_first =
        state.messages == 0 ? state.stream_last + 1 : number_of(stream, "first_seq");
    MRD_TRY(mrd_log_map_parse(text_of(config, "description"), &state.map, err));
    state.identity = (struct mrd_log_identity){created_ns, mrd_log_map_base(&state.map)};
    state.sequence_first = mrd_log_map_position(&state.map, state.stream_first);
    state.sequence_last = mrd_log_map_last(&state.map, state.stream_last);
    *out = state;
    return MRD_OK;
}

enum mrd_status mrd_log_entry_parse(struct mrd_bytes bytes, mrd_time_ms *out_ms,
                                    struct mrd_error *err)
{
    mrd_auto(json_close)
    json_t *json = NULL;
    int64_t stored_ns;
    MRD_TRY(answer_parse(bytes, &json, err));
    if (!time_of(json_object_get(json, "message"), "time", &stored_ns)) {
        return mrd_fail(err, MRD_E_CORRUPT, "an answer of JetStream's without an entry's time");
    }
    *out_ms = stored_ns / NS_PER_MS;
    return MRD_OK;
}

/* ---- the configuration ---- */

static char *text_of_config(const json_t *config)
{
    char *text = json_dumps(config, JSON_COMPACT | JSON_SORT_KEYS);
    mrd_assert(text != NULL);
    return text;
}

enum mrd_status mrd_log_info_config(struct mrd_bytes bytes, char **out, struct mrd_error *err)
{
    mrd_auto(json_close)
    json_t *json = NULL;
    MRD_TRY(answer_parse(bytes, &json, err));
    const json_t *config = json_object_get(json, "config");
    if (!json_is_object(config)) {
        return mrd_fail(err, MRD_E_CORRUPT,
                        "an answer of JetStream's without a stream's configuration");
    }
    *out = text_of_config(config);
    return MRD_OK;
}

static void put(json_t *object, const char *name, json_t *value)
{
    const int failed = json_object_set_new(object, name, value);
    mrd_assert(failed == 0);
}

static void limits_put(json_t *config, const struct mrd_log_limits *limits)
{
    const int64_t duplicates_min_ns = MRD_LOG_DUPLICATE_WINDOW_MS_MIN * NS_PER_MS;
    const bool has_age = json_integer_value(json_object_get(config, "max_age")) != 0;
    const int64_t age_ns = has_age || limits->age_decides ? limits->age_ns : 0;
    int64_t duplicates_ns = json_integer_value(json_object_get(config, "duplicate_window"));
    if (limits->duplicates_ns != 0) {
        duplicates_ns = limits->duplicates_ns;
    }
    if (limits->bytes_max != 0) {
        put(config, "max_bytes", json_integer(limits->bytes_max));
    }
    put(config, "max_age", json_integer(age_ns));
    put(config, "duplicate_window",
        json_integer(age_ns == 0 ? MRD_MAX(duplicates_ns, duplicates_min_ns) : duplicates_ns));
}

enum mrd_status mrd_log_config_edit(const char *text, const struct mrd_log_edit *edit, char **out,
                                    struct mrd_error *err)
{
    json_error_t where;
    struct mrd_log_map map;
    mrd_auto(json_close)
    json_t *config = json_loads(text, 0, &where);
    if (!json_is_object(config)) {
        return mrd_fail(err, MRD_E_CORRUPT, "a stream's configuration that is no object of JSON");
    }
    MRD_TRY(mrd_log_map_parse(text_of(config, "description"), &map, err));
    if (edit->limits.set) {
        limits_put(config, &edit->limits);
    }
    if (edit->map != NULL && !mrd_log_map_equal(&map, edit->map)) {
        char description[MRD_LOG_MAP_TEXT_MAX];
        put(config, "description", json_string(mrd_log_map_format(edit->map, description)));
    }
    *out = text_of_config(config);
    return MRD_OK;
}
