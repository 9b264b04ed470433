#include "bus/log_change_internal.h"

#include <stdlib.h>

#include "bus/log_names.h"
#include "bus/request_internal.h"

enum { SUBJECT_MAX = MRD_LOG_NAME_MAX + 32, TRIES_MAX = 16 };

static void text_free(char **text) { free(*text); }

struct change {
    struct mrd_bus *bus;
    uint32_t partition;
    int64_t timeout_ms;
    uint64_t generation; /* of the connection */
    struct mrd_log_edit edit;
    struct mrd_log_map map; /* the newest of those seen and ours */
    int64_t created_ns;
    bool is_another; /* the stream was made anew, and has what was meant for the one before */
    char *base;      /* the configuration that others have made, which ours is an edit of */
    char *found;     /* the one that was there at the last look */
};

static void change_fini(struct change *self)
{
    free(self->base);
    free(self->found);
}

static void text_set(char **text, const char *value)
{
    char *copy = strdup(value);
    mrd_assert(copy != NULL);
    free(*text);
    *text = copy;
}

static enum mrd_status fail_of(const struct change *self, enum mrd_status status,
                               struct mrd_error *err)
{
    char name[MRD_LOG_NAME_MAX];
    return mrd_fail_prefix(err, status, "stream %s", mrd_log_stream_name(self->partition, name));
}

static enum mrd_status try_again(const struct change *self, const char *why, struct mrd_error *err)
{
    char name[MRD_LOG_NAME_MAX];
    return mrd_fail(err, MRD_E_UNAVAILABLE, "stream %s: %s, try again",
                    mrd_log_stream_name(self->partition, name), why);
}

static struct mrd_bytes body_of(const struct mrd_request *request)
{
    return (struct mrd_bytes){(const uint8_t *)natsMsg_GetData(request->reply),
                              (size_t)natsMsg_GetDataLength(request->reply)};
}

static void subject_of(const struct change *self, const char *verb, char out[SUBJECT_MAX])
{
    char name[MRD_LOG_NAME_MAX];
    (void)snprintf(out, SUBJECT_MAX, "$JS.API.STREAM.%s.%s", verb,
                   mrd_log_stream_name(self->partition, name));
}

static enum mrd_status answer_of(const struct mrd_request *request, struct mrd_log_state *out,
                                 char **out_config, struct mrd_error *err)
{
    MRD_TRY(mrd_log_info_parse(body_of(request), out, err));
    return mrd_log_info_config(body_of(request), out_config, err);
}

/* What there is. */
static enum mrd_status look(struct change *self, struct mrd_log_state *out, struct mrd_error *err)
{
    char subject[SUBJECT_MAX];
    subject_of(self, "INFO", subject);
    struct mrd_request request = {.subject = subject};
    mrd_auto(text_free)
    char *config = NULL;
    enum mrd_status status = mrd_bus_request(self->bus, &request, 1, self->timeout_ms, NULL, err);
    if (status == MRD_OK) {
        status = answer_of(&request, out, &config, err);
    }
    natsMsg_Destroy(request.reply);
    MRD_TRY(status == MRD_OK ? status : fail_of(self, status, err));
    free(self->found);
    self->found = MRD_MOVE(config);
    return MRD_OK;
}

/* A write that was sent again over the next connection would be over what came in between. */
static enum mrd_status end_with_connection(void *context, struct mrd_error *err)
{
    const struct change *self = context;
    return mrd_bus_generation(self->bus) == self->generation
               ? MRD_OK
               : try_again(self, "the connection was lost during a change", err);
}

/* Writes a configuration; what it was over: *out_state and *out_config. */
static enum mrd_status write_over(struct change *self, const char *config,
                                  struct mrd_log_state *out_state, char **out_config,
                                  struct mrd_error *err)
{
    char info[SUBJECT_MAX];
    char update[SUBJECT_MAX];
    subject_of(self, "INFO", info);
    subject_of(self, "UPDATE", update);
    struct mrd_request requests[] = {
        {.subject = info              },
        { .subject = update, .body = mrd_bytes_of(config)},
    };
    const struct mrd_look end = {end_with_connection, self};
    self->generation = mrd_bus_generation(self->bus);
    enum mrd_status status =
        mrd_bus_request(self->bus, requests, MRD_ARRAY_LEN(requests), self->timeout_ms, &end, err);
    if (status == MRD_OK) {
        struct mrd_log_state written;
        status = mrd_log_info_parse(body_of(&requests[1]), &written, err);
    }
    if (status == MRD_OK) {
        status = answer_of(&requests[0], out_state, out_config, err);
    }
    natsMsg_Destroy(requests[0].reply);
    natsMsg_Destroy(requests[1].reply);
    return status == MRD_OK ? MRD_OK : fail_of(self, status, err);
}

/* *out_over: it was over what nobody had seen, and which is brought back with the next write. */
static enum mrd_status write_once(struct change *self, const char *config, bool *out_over,
                                  struct mrd_error *err)
{
    struct mrd_log_state seen;
    mrd_auto(text_free)
    char *seen_config = NULL;
    MRD_TRY(write_over(self, config, &seen, &seen_config, err));
    *out_over = strcmp(seen_config, self->found) != 0 && strcmp(seen_config, config) != 0;
    if (seen.identity.created_ns != self->created_ns) {
        self->created_ns = seen.identity.created_ns;
        self->is_another = true;
        self->edit = (struct mrd_log_edit){0}; /* what it had itself, and nothing of ours */
        *out_over = true;
    }
    if (*out_over) {
        mrd_log_map_join(&self->map, &seen.map);
        text_set(&self->base, seen_config);
    }
    return MRD_OK;
}

/* What others have made of it since `config` was written. *out_stands: no map that is older than ours. */
static enum mrd_status look_again(struct change *self, const char *config, bool *out_stands,
                                  struct mrd_error *err)
{
    struct mrd_log_state state;
    MRD_TRY(look(self, &state, err));
    if (state.identity.created_ns != self->created_ns) {
        return try_again(self, "it was made anew meanwhile", err);
    }
    if (strcmp(self->found, config) != 0) {
        text_set(&self->base, self->found);
    }
    if (self->edit.map != NULL) {
        mrd_log_map_join(&self->map, &state.map);
    }
    *out_stands = self->edit.map == NULL || mrd_log_map_equal(&self->map, &state.map);
    return MRD_OK;
}

static enum mrd_status begin(struct change *self, const struct mrd_log_change *change,
                             struct mrd_error *err)
{
    struct mrd_log_state state;
    MRD_TRY(look(self, &state, err));
    if (change->map != NULL && !mrd_log_map_equal(&state.map, change->map_before)) {
        return try_again(self, "its description was changed meanwhile", err);
    }
    self->created_ns = state.identity.created_ns;
    self->map = change->map == NULL ? state.map : *change->map;
    self->edit = (struct mrd_log_edit){.limits = change->limits, .map = &self->map};
    text_set(&self->base, self->found);
    return MRD_OK;
}

static enum mrd_status run(struct change *self, struct mrd_error *err)
{
    for (size_t tries = 0; tries < TRIES_MAX; tries++) {
        bool over = false;
        bool stands = false;
        mrd_auto(text_free)
        char *config = NULL;
        MRD_TRY(mrd_log_config_edit(self->base, &self->edit, &config, err));
        if (strcmp(config, self->found) == 0) {
            return MRD_OK;
        }
        MRD_TRY(write_once(self, config, &over, err));
        MRD_TRY(look_again(self, config, &stands, err));
        if (!over && stands) {
            return MRD_OK;
        }
    }
    return try_again(self, "others change it all the time", err);
}

enum mrd_status mrd_log_change(struct mrd_bus *bus, uint32_t partition,
                               const struct mrd_log_change *change, int64_t timeout_ms,
                               struct mrd_log_map *out_map, struct mrd_error *err)
{
    mrd_auto(change_fini)
    struct change self = {.bus = bus, .partition = partition, .timeout_ms = timeout_ms};
    MRD_TRY(begin(&self, change, err));
    MRD_TRY(run(&self, err));
    if (self.is_another) {
        return try_again(&self, "it was made anew meanwhile", err);
    }
    if (out_map != NULL) {
        *out_map = self.map;
    }
    return MRD_OK;
}
