#include "service/service.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/threads.h"
#include "service/service_internal.h"

enum { EXIT_FATAL = 1, EXIT_USAGE = 2, EXIT_STUCK = 3, FILE_CHECK_MS = 2000 };

/* ---- opening ---- */

static int print(const struct mrd_buf *text)
{
    const bool written = fwrite(text->data, 1, text->size, stdout) == text->size;
    return written && fflush(stdout) == 0 ? 0 : EXIT_FATAL;
}

/* --help and its like: answers and gives the exit code. */
static int print_action(const struct mrd_service *service)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf text = {0};
    switch (service->sources.action) {
    case MRD_CONFIG_HELP:
        mrd_config_help(&service->schema, &text);
        break;
    case MRD_CONFIG_DOCS:
        mrd_config_docs(&service->schema, &text);
        break;
    case MRD_CONFIG_VERSION:
    case MRD_CONFIG_RUN:
        mrd_buf_printf(&text, "meridian-%s %s\n", service->definition->name, MRD_VERSION);
        break;
    }
    return print(&text);
}

static void schema_build(struct mrd_service *service)
{
    const struct mrd_service_definition *definition = service->definition;
    service->listen_key = service_common_keys.keys[0];
    mrd_assert(strcmp(service->listen_key.path, "http.listen") == 0);
    service->listen_key.initial = definition->listen_default;
    service->tables[0] = service_common_keys;
    service->tables[1] = (struct mrd_config_table){&service->listen_key, 1};
    service->tables[2] = (struct mrd_config_table){definition->keys, definition->key_count};
    service->schema =
        (struct mrd_config_schema){definition->name, definition->summary, service->tables,
                                   SERVICE_TABLES, definition->overrides};
}

/* Signals go to run's descriptor only: blocked here, before any thread, so that all inherit it. */
static enum mrd_status signals_block(struct mrd_service *service, struct mrd_error *err)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    mrd_assert(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    (void)signal(SIGPIPE, SIG_IGN);
    service->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    service->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (service->signal_fd < 0 || service->stop_fd < 0) {
        return mrd_fail_errno(err, MRD_E_UNAVAILABLE, "signal descriptors");
    }
    return MRD_OK;
}

static void metrics_register(struct mrd_service *service)
{
    static const char name[] = "meridian_config_reloads_total";
    static const char help[] = "Reloads of the configuration, by result.";
    mrd_metrics_process(service->metrics, service->definition->name);
    service->reloads_ok =
        mrd_metrics_counter(service->metrics, name, help, MRD_LABELS({"result", "ok"}));
    service->reloads_bad =
        mrd_metrics_counter(service->metrics, name, help, MRD_LABELS({"result", "refused"}));
}

static void file_look(const char *path, struct stat *out)
{
    memset(out, 0, sizeof(*out));
    if (path != NULL && stat(path, out) != 0) {
        memset(out, 0, sizeof(*out));
    }
}

/* The file with overrides, NULL if there is none. */
static const char *overrides_path(const struct mrd_service *service)
{
    if (service->schema.overrides == NULL) {
        return NULL;
    }
    const char *path = mrd_config_string(service->config, "overrides_file");
    return path[0] == 0 ? NULL : path;
}

static enum mrd_status service_prepare(struct mrd_service *service, struct mrd_error *err)
{
    file_look(service->sources.file, &service->file.read);
    MRD_TRY(mrd_config_load(&service->schema, &service->sources, &service->config, err));
    file_look(overrides_path(service), &service->overrides.read);
    settings_apply_log(service->config);
    mrd_log_service_set(service->definition->name);
    settings_raise_descriptors(service->config);
    MRD_TRY(signals_block(service, err));
    service->metrics = mrd_metrics_create();
    metrics_register(service);
    struct mrd_http_config http = settings_http(service->config, service->metrics);
    http.handlers_wait = service->definition->http_handlers_wait;
    MRD_TRY(mrd_http_server_create(&http, &service->http, err));
    operations_mount(service);
    return MRD_OK;
}

bool mrd_service_open(const struct mrd_service_definition *definition, int argc, char **argv,
                      struct mrd_service **out_service, int *out_exit_code)
{
    mrd_auto(mrd_service_destroy)
    struct mrd_service *service = calloc(1, sizeof(*service));
    mrd_assert(service != NULL);
    service->definition = definition;
    service->signal_fd = -1;
    service->stop_fd = -1;
    mrd_assert(pthread_mutex_init(&service->lock, NULL) == 0);
    schema_build(service);
    struct mrd_error err;
    enum mrd_status status = mrd_config_args_parse(argc, argv, environ, &service->sources, &err);
    if (status == MRD_OK && service->sources.action != MRD_CONFIG_RUN) {
        *out_exit_code = print_action(service);
        return false;
    }
    if (status == MRD_OK) {
        status = service_prepare(service, &err);
    }
    if (status != MRD_OK) {
        (void)fprintf(stderr, "meridian-%s: %s\n", definition->name, err.text);
        *out_exit_code = EXIT_USAGE;
        return false;
    }
    MRD_LOG_INFO("starting", mrd_log_str("version", MRD_VERSION), mrd_log_int("pid", getpid()));
    *out_service = MRD_MOVE(service);
    return true;
}

struct mrd_config *mrd_service_config(struct mrd_service *service)
{
    pthread_mutex_lock(&service->lock);
    struct mrd_config *config = mrd_config_retain(service->config);
    pthread_mutex_unlock(&service->lock);
    return config;
}

struct mrd_metrics *mrd_service_metrics(struct mrd_service *service) { return service->metrics; }

struct mrd_http_server *mrd_service_http(struct mrd_service *service) { return service->http; }

static void listen_stop(void *context, mrd_time_ms grace_ms)
{
    mrd_http_server_stop(context, grace_ms);
}

enum mrd_status mrd_service_listen(struct mrd_service *service, struct mrd_error *err)
{
    MRD_TRY(mrd_http_server_start(service->http, err));
    mrd_service_on_stop(service, "http", listen_stop, service->http);
    mrd_auto(mrd_config_release)
    struct mrd_config *config = mrd_service_config(service);
    MRD_LOG_INFO("listening", mrd_log_str("address", mrd_config_string(config, "http.listen")),
                 mrd_log_uint("port", mrd_http_server_port(service->http)));
    return MRD_OK;
}

/* ---- registering ---- */

void mrd_service_on_stop(struct mrd_service *service, const char *name,
                         void (*stop)(void *context, mrd_time_ms grace_ms), void *context)
{
    mrd_assert(service->part_count < SERVICE_PARTS_MAX);
    service->parts[service->part_count++] = (struct service_part){name, stop, context};
}

void mrd_service_on_reload(struct mrd_service *service,
                           void (*reload)(void *context, const struct mrd_config *config),
                           void *context)
{
    mrd_assert(service->reload_count < SERVICE_PARTS_MAX);
    service->reloads[service->reload_count++] = (struct service_reload){reload, context};
}

/* ---- reloading ---- */

static void log_ignored(const struct mrd_buf *ignored)
{
    struct mrd_reader reader = mrd_reader_of(mrd_buf_view(ignored));
    while (mrd_reader_left(&reader) > 0) {
        const uint8_t *line_end = memchr(reader.at, '\n', mrd_reader_left(&reader));
        mrd_assert(line_end != NULL);
        const struct mrd_bytes key = mrd_read_bytes(&reader, (uint64_t)(line_end - reader.at));
        MRD_LOG_WARN("this key changes at a restart only", mrd_log_bytes("key", key));
        (void)mrd_read_u8(&reader);
    }
}

static void service_reload(struct mrd_service *service)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf ignored = {0};
    struct mrd_config *fresh = NULL;
    struct mrd_error err;
    /* Before reading: what changes meanwhile is read again. What is refused is not, until it changes. */
    file_look(service->sources.file, &service->file.read);
    file_look(overrides_path(service), &service->overrides.read);
    if (mrd_config_reload(service->config, &service->sources, &fresh, &ignored, &err) != MRD_OK) {
        mrd_counter_add(service->reloads_bad, 1);
        MRD_LOG_ERROR("configuration refused, the old one stays", mrd_log_error(&err));
        return;
    }
    log_ignored(&ignored);
    pthread_mutex_lock(&service->lock);
    struct mrd_config *old = service->config;
    service->config = fresh;
    pthread_mutex_unlock(&service->lock);
    mrd_counter_add(service->reloads_ok, 1);
    settings_apply_log(fresh);
    for (size_t i = 0; i < service->reload_count; i++) {
        service->reloads[i].reload(service->reloads[i].context, fresh);
    }
    mrd_config_release(&old);
    MRD_LOG_INFO("configuration reloaded");
}

static bool stat_equal(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* A new file under the same name (editors, orchestrators) or new content of the old one, which has
 * stayed the same since the last look: one that is being written is not read half. */
static bool file_has_changed(struct service_file *file, const char *path)
{
    struct stat now;
    file_look(path, &now);
    const bool settled = stat_equal(&now, &file->last);
    file->last = now;
    return settled && now.st_ino != 0 && !stat_equal(&now, &file->read);
}

static bool files_have_changed(struct mrd_service *service)
{
    const bool file = file_has_changed(&service->file, service->sources.file);
    const bool overrides = file_has_changed(&service->overrides, overrides_path(service));
    return file || overrides;
}

/* ---- running and stopping ---- */

void mrd_service_stop(struct mrd_service *service, const struct mrd_error *err)
{
    if (err != NULL) {
        MRD_LOG_ERROR("fatal", mrd_log_error(err));
        atomic_store_explicit(&service->failed, true, memory_order_relaxed);
    }
    const uint64_t one = 1;
    const ssize_t written = write(service->stop_fd, &one, sizeof(one));
    (void)written; /* full means that it has been asked for often enough */
}

/* The next signal, 0 if none waits. */
static int signal_take(const struct mrd_service *service)
{
    struct signalfd_siginfo info;
    const ssize_t size = read(service->signal_fd, &info, sizeof(info));
    return size == (ssize_t)sizeof(info) ? (int)info.ssi_signo : 0;
}

static void wait_for_stop(struct mrd_service *service)
{
    for (;;) {
        struct pollfd fds[] = {
            {.fd = service->signal_fd, .events = POLLIN},
            {.fd = service->stop_fd,   .events = POLLIN}
        };
        const bool watching = service->sources.file != NULL || overrides_path(service) != NULL;
        const int got = poll(fds, 2, watching ? FILE_CHECK_MS : -1);
        if (got > 0 && (fds[1].revents & POLLIN) != 0) {
            return;
        }
        const int signal = got > 0 ? signal_take(service) : 0;
        if (signal == SIGTERM || signal == SIGINT) {
            MRD_LOG_INFO("stopping", mrd_log_str("signal", signal == SIGTERM ? "TERM" : "INT"));
            return;
        }
        if (signal == SIGHUP || files_have_changed(service)) {
            service_reload(service);
        }
    }
}

/* Watches over stopping: a second signal, or too long a time, ends the process there and then. What
 * is acknowledged is in the log, so nothing is lost by it. */
struct stop_watch {
    struct mrd_service *service;
    int done_fd;
    int timeout_ms;
};

static void *stop_watch_main(void *context)
{
    const struct stop_watch *watch = context;
    mrd_thread_name_set("stop-watch");
    struct pollfd fds[] = {
        {.fd = watch->done_fd,            .events = POLLIN},
        {.fd = watch->service->signal_fd, .events = POLLIN}
    };
    for (;;) {
        const int got = poll(fds, 2, watch->timeout_ms);
        if (got > 0 && (fds[0].revents & POLLIN) != 0) {
            return NULL;
        }
        if (got < 0 || (got > 0 && signal_take(watch->service) == SIGHUP)) {
            continue;
        }
        MRD_LOG_ERROR(got == 0 ? "stopping took too long" : "second signal: exiting at once");
        _exit(EXIT_STUCK);
    }
}

static void parts_stop(struct mrd_service *service, mrd_time_ms grace_ms)
{
    const int64_t end_ns = mrd_clock_monotonic_ns(mrd_clock_system()) + grace_ms * 1000000;
    while (service->part_count > 0) {
        const struct service_part *part = &service->parts[--service->part_count];
        const int64_t left_ms = (end_ns - mrd_clock_monotonic_ns(mrd_clock_system())) / 1000000;
        MRD_LOG_DEBUG("stopping part", mrd_log_str("part", part->name));
        part->stop(part->context, MRD_MAX(left_ms, (int64_t)0));
    }
}

static void service_stop_all(struct mrd_service *service)
{
    atomic_store_explicit(&service->stopping, true, memory_order_relaxed);
    mrd_auto(mrd_config_release)
    struct mrd_config *config = mrd_service_config(service);
    const mrd_time_ms grace_ms = mrd_config_duration(config, "process.stop_grace");
    struct stop_watch watch = {service, eventfd(0, EFD_CLOEXEC),
                               (int)MRD_MAX(grace_ms * 2, (mrd_time_ms)1000)};
    mrd_assert(watch.done_fd >= 0);
    pthread_t watcher;
    mrd_assert(pthread_create(&watcher, NULL, stop_watch_main, &watch) == 0);
    parts_stop(service, grace_ms);
    mrd_assert(eventfd_write(watch.done_fd, 1) == 0);
    mrd_assert(pthread_join(watcher, NULL) == 0);
    close(watch.done_fd);
}

int mrd_service_run(struct mrd_service *service)
{
    wait_for_stop(service);
    service_stop_all(service);
    const bool failed = atomic_load_explicit(&service->failed, memory_order_relaxed);
    MRD_LOG_INFO("stopped");
    return failed ? EXIT_FATAL : 0;
}

bool mrd_service_is_told_to_stop(void)
{
    sigset_t pending;
    return sigpending(&pending) == 0 &&
           (sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1);
}

int mrd_service_fail(struct mrd_service *service, const struct mrd_error *err)
{
    const bool told = mrd_service_is_told_to_stop();
    if (told) {
        while (mrd_service_is_told_to_stop()) {
            (void)signal_take(service); /* another one would be the second */
        }
        MRD_LOG_INFO("stopping before it had started", mrd_log_error(err));
    } else {
        MRD_LOG_ERROR("could not start", mrd_log_error(err));
    }
    service_stop_all(service);
    return told ? 0 : EXIT_FATAL;
}

void mrd_service_destroy(struct mrd_service **service)
{
    struct mrd_service *gone = MRD_MOVE(*service);
    if (gone == NULL) {
        return;
    }
    mrd_http_server_destroy(&gone->http);
    while (gone->conditions != NULL) {
        struct mrd_service_condition *condition = gone->conditions;
        gone->conditions = condition->next;
        free(condition);
    }
    mrd_config_release(&gone->config);
    mrd_metrics_destroy(&gone->metrics);
    if (gone->signal_fd >= 0) {
        close(gone->signal_fd);
    }
    if (gone->stop_fd >= 0) {
        close(gone->stop_fd);
    }
    pthread_mutex_destroy(&gone->lock);
    free(gone);
}
