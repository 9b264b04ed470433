#include "mrdctl/progress.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PATH_SIZE = 4096 };

static void set_text(json_t *object, const char *name, const char *text)
{
    mrd_assert(json_object_set_new(object, name, json_string(text)) == 0);
}

static void set_count(json_t *object, const char *name, uint64_t count)
{
    mrd_assert(json_object_set_new(object, name, json_integer((json_int_t)count)) == 0);
}

static bool text_is(const json_t *root, const char *name, const char *want)
{
    const char *got = json_string_value(json_object_get(root, name));
    return got != NULL && strcmp(got, want) == 0;
}

static const char *tenant_of(const struct ctl_progress_of *of)
{
    return of->tenant == NULL ? "" : of->tenant;
}

static enum mrd_status check(const struct ctl_progress *progress, const struct ctl_progress_of *of,
                             struct mrd_error *err)
{
    const json_t *root = progress->root;
    if (json_integer_value(json_object_get(root, "version")) != 1 ||
        !json_is_object(json_object_get(root, "blocks"))) {
        return mrd_fail(err, MRD_E_INVALID, "%s is not the progress of an import", progress->path);
    }
    return text_is(root, "url", of->url) && text_is(root, "tenant", tenant_of(of)) &&
                   text_is(root, "options", of->options)
               ? MRD_OK
               : mrd_fail(
                     err, MRD_E_INVALID,
                     "%s is the progress of an import to another server or tenant, or of other "
                     "samples: name another file",
                     progress->path);
}

enum mrd_status ctl_progress_open(struct ctl_progress *progress, const char *path,
                                  const struct ctl_progress_of *of, struct mrd_error *err)
{
    json_error_t problem;
    *progress = (struct ctl_progress){.path = path};
    if (path != NULL && access(path, F_OK) == 0) {
        progress->root = json_load_file(path, 0, &problem);
        if (progress->root == NULL) {
            return mrd_fail(err, MRD_E_INVALID, "%s: %s", path, problem.text);
        }
        return check(progress, of, err);
    }
    progress->root = json_object();
    mrd_assert(progress->root != NULL);
    set_count(progress->root, "version", 1);
    set_text(progress->root, "url", of->url);
    set_text(progress->root, "tenant", tenant_of(of));
    set_text(progress->root, "options", of->options);
    mrd_assert(json_object_set_new(progress->root, "blocks", json_object()) == 0);
    return MRD_OK;
}

void ctl_progress_close(struct ctl_progress *progress)
{
    json_decref(progress->root);
    progress->root = NULL;
}

struct ctl_position ctl_progress_get(const struct ctl_progress *progress, const char *ulid)
{
    const json_t *block = json_object_get(json_object_get(progress->root, "blocks"), ulid);
    const json_int_t series = json_integer_value(json_object_get(block, "series"));
    const json_int_t chunk = json_integer_value(json_object_get(block, "chunk"));
    return (struct ctl_position){
        .series = series > 0 ? (uint64_t)series : 0,
        .chunk = chunk > 0 ? (uint64_t)chunk : 0,
        .done = json_is_true(json_object_get(block, "done")),
    };
}

void ctl_progress_set(struct ctl_progress *progress, const char *ulid, struct ctl_position position)
{
    json_t *block = json_object();
    mrd_assert(block != NULL);
    if (position.done) {
        mrd_assert(json_object_set_new(block, "done", json_true()) == 0);
    } else {
        set_count(block, "series", position.series);
        set_count(block, "chunk", position.chunk);
    }
    mrd_assert(json_object_set_new(json_object_get(progress->root, "blocks"), ulid, block) == 0);
}

/* ---- the file ---- */

static void text_free(char **text)
{
    free(*text);
    *text = NULL;
}

static bool write_all(int fd, const char *text, size_t size)
{
    while (size > 0) {
        const ssize_t written = write(fd, text, size);
        if (written < 0 && errno != EINTR) {
            return false;
        }
        text += written > 0 ? written : 0;
        size -= written > 0 ? (size_t)written : 0;
    }
    return fsync(fd) == 0;
}

enum mrd_status ctl_progress_save(const struct ctl_progress *progress, struct mrd_error *err)
{
    char fresh[PATH_SIZE];
    if (progress->path == NULL) {
        return MRD_OK;
    }
    mrd_auto(text_free)
    char *text = json_dumps(progress->root, JSON_INDENT(1));
    mrd_assert(text != NULL);
    if ((size_t)snprintf(fresh, sizeof(fresh), "%s.new", progress->path) >= sizeof(fresh)) {
        return mrd_fail(err, MRD_E_INVALID, "--progress: the name is too long");
    }
    const int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) {
        return mrd_fail_errno(err, MRD_E_INVALID, "--progress %s", fresh);
    }
    const bool written = write_all(fd, text, strlen(text));
    (void)close(fd);
    return written && rename(fresh, progress->path) == 0
               ? MRD_OK
               : mrd_fail_errno(err, MRD_E_INVALID, "--progress %s", progress->path);
}
