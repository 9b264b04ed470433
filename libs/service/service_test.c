/* A sample service in a process of its own, asked over HTTP and by signals. */
#include "service/service.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "http/raw_client.h"

/* ---- the sample ---- */

static const struct mrd_config_key sample_keys[] = {
    {.path = "sample.rate",
     .type = MRD_CONFIG_INT,
     .initial = "5",
     .reloadable = true,
     .doc = "A number."},
    {.path = "sample.token",                     .type = MRD_CONFIG_SECRET, .initial = "", .doc = "A secret."},
};

static const struct mrd_service_definition sample = {
    .name = "sample",
    .summary = "Shows what a main is made of.",
    .listen_default = "127.0.0.1:0",
    .keys = sample_keys,
    .key_count = MRD_ARRAY_LEN(sample_keys),
};

struct sample_state {
    struct mrd_service *service;
    struct mrd_service_condition *warm;
    int out; /* a line for each thing that happens */
    _Atomic bool stuck;
};

static void say(const struct sample_state *state, const char *format, ...) MRD_PRINTF(2, 3);
static void say(const struct sample_state *state, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    mrd_assert(vdprintf(state->out, format, args) > 0);
    va_end(args);
}

static void stop_first(void *context, mrd_time_ms grace_ms)
{
    (void)grace_ms;
    say(context, "stop first\n");
}

static void stop_second(void *context, mrd_time_ms grace_ms)
{
    (void)grace_ms;
    say(context, "stop second\n");
}

static void stop_third(void *context, mrd_time_ms grace_ms)
{
    (void)grace_ms;
    struct sample_state *state = context;
    while (atomic_load(&state->stuck)) {
        say(context, "stuck\n");
        (void)pause();
    }
}

static void reload(void *context, const struct mrd_config *config)
{
    say(context, "rate %d\n", (int)mrd_config_int(config, "sample.rate"));
}

static void warm_up(void *context, struct mrd_http_request *request)
{
    struct sample_state *state = context;
    mrd_service_condition_set(state->warm, true, NULL);
    mrd_http_reply(request, 204, NULL);
}

static void post_fail(void *context, struct mrd_http_request *request)
{
    struct sample_state *state = context;
    struct mrd_error err;
    (void)mrd_fail(&err, MRD_E_CORRUPT, "the sample was told to fail");
    mrd_service_stop(state->service, &err);
    mrd_http_reply(request, 204, NULL);
}

static void get_stuck(void *context, struct mrd_http_request *request)
{
    struct sample_state *state = context;
    atomic_store(&state->stuck, true);
    mrd_http_reply(request, 204, NULL);
}

static enum mrd_status sample_start(struct sample_state *state, struct mrd_error *err)
{
    struct mrd_service *service = state->service;
    const struct mrd_http_route routes[] = {
        {MRD_HTTP_POST, "/warm",  0, warm_up,   state},
        {MRD_HTTP_POST, "/fail",  0, post_fail, state},
        {MRD_HTTP_POST, "/stuck", 0, get_stuck, state},
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(routes); i++) {
        mrd_http_route_add(mrd_service_http(service), &routes[i]);
    }
    state->warm = mrd_service_condition_add(service, "warm");
    mrd_service_on_stop(service, "first", stop_first, state);
    mrd_service_on_stop(service, "second", stop_second, state);
    mrd_service_on_stop(service, "third", stop_third, state);
    mrd_service_on_reload(service, reload, state);
    return mrd_service_listen(service, err);
}

static int sample_main(int argc, char **argv, int out)
{
    mrd_auto(mrd_service_destroy)
    struct mrd_service *service = NULL;
    int exit_code;
    if (!mrd_service_open(&sample, argc, argv, &service, &exit_code)) {
        return exit_code;
    }
    struct sample_state state = {.service = service, .out = out};
    struct mrd_error err;
    if (sample_start(&state, &err) != MRD_OK) {
        return mrd_service_fail(service, &err);
    }
    say(&state, "port %u\n", mrd_http_server_port(mrd_service_http(service)));
    return mrd_service_run(service);
}

/* ---- running it ---- */

struct process {
    pid_t pid;
    FILE *lines;  /* what it says */
    FILE *errors; /* its standard output and error */
    unsigned port;
};

static struct process run(const char *const *arguments)
{
    int out[2];
    int errors[2];
    assert_int_equal(pipe(out), 0);
    assert_int_equal(pipe(errors), 0);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char *argv[16] = {strdup("meridian-sample")};
        int argc = 1;
        for (; arguments[argc - 1] != NULL; argc++) {
            argv[argc] = strdup(arguments[argc - 1]);
        }
        close(out[0]);
        mrd_assert(dup2(errors[1], STDERR_FILENO) >= 0);
        mrd_assert(dup2(errors[1], STDOUT_FILENO) >= 0);
        const int code = sample_main(argc, argv, out[1]);
        for (int i = 0; i < argc; i++) {
            free(argv[i]);
        }
        exit(code);
    }
    close(out[1]);
    close(errors[1]);
    struct process process = {pid, fdopen(out[0], "r"), fdopen(errors[0], "r"), 0};
    assert_non_null(process.lines);
    assert_non_null(process.errors);
    return process;
}

static struct process start(const char *const *arguments)
{
    struct process process = run(arguments);
    char line[128] = "";
    assert_non_null(fgets(line, sizeof(line), process.lines));
    assert_int_equal(sscanf(line, "port %u", &process.port), 1);
    return process;
}

/* Waits for its end; `text` takes what it wrote (may be NULL). */
static int end(struct process *process, struct mrd_buf *text)
{
    char block[4096];
    size_t size;
    while ((size = fread(block, 1, sizeof(block), process->errors)) > 0) {
        if (text != NULL) {
            mrd_buf_append(text, block, size);
        }
    }
    int status = 0;
    assert_int_equal(waitpid(process->pid, &status, 0), process->pid);
    (void)fclose(process->lines);
    (void)fclose(process->errors);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void expect_line(struct process *process, const char *want)
{
    char line[128] = "";
    if (fgets(line, sizeof(line), process->lines) == NULL) {
        mrd_auto(mrd_buf_fini)
        struct mrd_buf text = {0};
        const int code = end(process, &text);
        mrd_buf_append_u8(&text, 0);
        fail_msg("it ended (%d) before it said %s: %s", code, want, (const char *)text.data);
    }
    assert_string_equal(line, want);
}

static void ask(const struct process *process, const char *method, const char *path,
                const char *body, unsigned want_status, const char *want_body)
{
    mrd_auto(raw_close)
    struct raw_client client = raw_connect(process->port);
    char request[512];
    (void)snprintf(request, sizeof(request),
                   "%s %s HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n%s", method, path,
                   strlen(body), body);
    raw_send(&client, request);
    mrd_auto(raw_answer_fini)
    struct raw_answer answer = raw_answer(&client, true);
    mrd_buf_append_u8(&answer.body, 0);
    if (answer.status != want_status || strstr((char *)answer.body.data, want_body) == NULL) {
        fail_msg("%s %s: %u %s", method, path, answer.status, (char *)answer.body.data);
    }
}

/* At once, as orchestrators do it: nobody sees half a file. */
static void write_file(const char *path, const char *content)
{
    char fresh[128];
    (void)snprintf(fresh, sizeof(fresh), "%s.new", path);
    FILE *file = fopen(fresh, "w");
    assert_non_null(file);
    assert_true(fputs(content, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(rename(fresh, path), 0);
}

static void wait_for_line(struct process *process, struct mrd_buf *text, const char *part)
{
    char line[1024];
    do {
        assert_non_null(fgets(line, sizeof(line), process->errors));
        mrd_buf_append_text(text, line);
    } while (strstr(line, part) == NULL);
}

/* ---- tests ---- */

static const char *const no_arguments[] = {NULL};

static void operators_see_health_readiness_metrics_and_configuration(void **state)
{
    (void)state;
    static const char *const arguments[] = {"--set", "sample.token=hunter2", NULL};
    struct process process = start(arguments);
    ask(&process, "GET", "/healthy", "", 200, "healthy\n");
    ask(&process, "GET", "/ready", "", 503, "warm: starting\n");
    ask(&process, "POST", "/warm", "", 204, "");
    ask(&process, "GET", "/ready", "", 200, "ready\n");
    ask(&process, "GET", "/metrics", "", 200, "meridian_build_info{service=\"sample\",version=");
    ask(&process, "GET", "/metrics", "", 200, "\nprocess_resident_memory_bytes ");
    ask(&process, "GET", "/metrics", "", 200, "{route=\"/ready\",code=\"503\"} 1\n");
    ask(&process, "GET", "/config", "", 200, "sample:\n  rate: 5\n  token: \"<secret>\"\n");
    ask(&process, "GET", "/log-level", "", 200, "info\n");
    ask(&process, "POST", "/log-level", "debug\n", 200, "debug\n");
    ask(&process, "POST", "/log-level?level=warn", "", 200, "warn\n");
    ask(&process, "POST", "/log-level", "loud", 400, "write level=debug");
    ask(&process, "GET", "/log-level", "", 200, "warn\n");
    assert_int_equal(kill(process.pid, SIGTERM), 0);
    assert_int_equal(end(&process, NULL), 0);
}

static void sigterm_stops_the_parts_in_reverse(void **state)
{
    (void)state;
    const int signals[] = {SIGTERM, SIGINT};
    for (size_t i = 0; i < MRD_ARRAY_LEN(signals); i++) {
        struct process process = start(no_arguments);
        assert_int_equal(kill(process.pid, signals[i]), 0);
        expect_line(&process, "stop second\n");
        expect_line(&process, "stop first\n");
        mrd_auto(mrd_buf_fini)
        struct mrd_buf text = {0};
        assert_int_equal(end(&process, &text), 0);
        assert_non_null(memmem(text.data, text.size, "msg=stopped", 11));
    }
}

static void sighup_and_a_changed_file_reload_what_may_change(void **state)
{
    (void)state;
    char path[] = "/tmp/meridian-service-test-XXXXXX";
    close(mkstemp(path));
    write_file(path, "sample: {rate: 1}\n");
    const char *const arguments[] = {"--config", path, NULL};
    struct process process = start(arguments);
    write_file(path, "sample: {rate: 22}\nhttp: {threads: 3}\n");
    assert_int_equal(kill(process.pid, SIGHUP), 0);
    expect_line(&process, "rate 22\n");
    ask(&process, "GET", "/config", "", 200, "threads: 0\n");
    mrd_auto(mrd_buf_fini)
    struct mrd_buf text = {0};
    write_file(path, "sample: {rate: oops}\n");
    assert_int_equal(kill(process.pid, SIGHUP), 0);
    wait_for_line(&process, &text, "sample.rate: write a whole number");
    write_file(path, "sample: {rate: 333}\n"); /* noticed without a signal */
    expect_line(&process, "rate 333\n");
    ask(&process, "GET", "/metrics", "", 200, "meridian_config_reloads_total{result=\"ok\"} 2\n");
    assert_int_equal(kill(process.pid, SIGTERM), 0);
    assert_int_equal(end(&process, &text), 0);
    assert_non_null(memmem(text.data, text.size, "key=http.threads", 16));
    (void)unlink(path);
}

static const struct {
    const char *arguments[4];
    int exit_code;
    const char *says;
} short_runs[] = {
    {{"--help"},                           0, "meridian-sample: Shows what a main is made of."        },
    {{"--version"},                        0, "meridian-sample " MRD_VERSION "\n"                     },
    {{"--print-config-docs"},              0, "| `http.listen` | string | `127.0.0.1:0` |"            },
    {{"--wrong"},                          2, "meridian-sample: argument --wrong: write --config FILE"},
    {{"--set", "sample.rates=1"},          2, "did you mean sample.rate?"                             },
    {{"--set", "http.listen=nowhere"},     2, "write ADDRESS:PORT"                                    },
    {{"--config", "/nonexistent"},         2, "No such file"                                          },
    {{"--set", "http.listen=192.0.2.1:1"}, 1, "msg=\"could not start\""                               },
};

static void bad_starts_say_why_and_end(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(short_runs); i++) {
        struct process process = run(short_runs[i].arguments);
        mrd_auto(mrd_buf_fini)
        struct mrd_buf text = {0};
        const int code = end(&process, &text);
        mrd_buf_append_u8(&text, 0);
        if (code != short_runs[i].exit_code ||
            strstr((const char *)text.data, short_runs[i].says) == NULL) {
            fail_msg("%s: exit code %d: %s", short_runs[i].arguments[0], code,
                     (const char *)text.data);
        }
    }
}

static void a_fatal_error_stops_in_order_with_exit_code_1(void **state)
{
    (void)state;
    struct process process = start(no_arguments);
    ask(&process, "POST", "/fail", "", 204, "");
    expect_line(&process, "stop second\n");
    expect_line(&process, "stop first\n");
    mrd_auto(mrd_buf_fini)
    struct mrd_buf text = {0};
    assert_int_equal(end(&process, &text), 1);
    assert_non_null(memmem(text.data, text.size, "the sample was told to fail", 27));
}

static void a_second_signal_ends_a_stop_that_is_stuck(void **state)
{
    (void)state;
    struct process process = start(no_arguments);
    ask(&process, "POST", "/stuck", "", 204, "");
    assert_int_equal(kill(process.pid, SIGTERM), 0);
    expect_line(&process, "stuck\n");
    assert_int_equal(kill(process.pid, SIGTERM), 0);
    assert_int_equal(end(&process, NULL), 3);
}

static void a_stop_that_takes_too_long_is_ended(void **state)
{
    (void)state;
    static const char *const arguments[] = {"--set", "process.stop_grace=10ms", NULL};
    struct process process = start(arguments);
    ask(&process, "POST", "/stuck", "", 204, "");
    assert_int_equal(kill(process.pid, SIGTERM), 0);
    expect_line(&process, "stuck\n");
    assert_int_equal(end(&process, NULL), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operators_see_health_readiness_metrics_and_configuration),
        cmocka_unit_test(sigterm_stops_the_parts_in_reverse),
        cmocka_unit_test(sighup_and_a_changed_file_reload_what_may_change),
        cmocka_unit_test(bad_starts_say_why_and_end),
        cmocka_unit_test(a_fatal_error_stops_in_order_with_exit_code_1),
        cmocka_unit_test(a_second_signal_ends_a_stop_that_is_stuck),
        cmocka_unit_test(a_stop_that_takes_too_long_is_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
