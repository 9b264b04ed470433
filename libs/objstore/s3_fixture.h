/* s3_fixture.h: tests/objstore/s3_server.py for a test program: a strict S3 service that can be told to
 * fail. Test programs include it; nothing else does. They run in the root of the repository, as ctest
 * does.
 *
 * The server ends with the test program, whose end of a pipe it reads.
 */
#ifndef MRD_OBJSTORE_S3_FIXTURE_H
#define MRD_OBJSTORE_S3_FIXTURE_H

#include <curl/curl.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "objstore/s3_store.h"

struct s3_fixture {
    pid_t pid;
    int life; /* closed: the server ends */
    int port;
    const char *ca_file; /* NULL: plain HTTP */
    char endpoint[64];
};

static inline void s3_fixture_fail(const char *what)
{
    fprintf(stderr, "s3 fixture: %s\n", what);
    abort();
}

static inline void s3_fixture_exec(const char *certificate, const char *token, int in, int out)
{
    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    execl("/usr/bin/python3", "python3", "tests/objstore/s3_server.py", "--certificate",
          certificate, "--token", token, (char *)NULL);
    _exit(127);
}

/* certificate: a file with key and certificate, NULL for plain HTTP; token: NULL for none. */
static inline void s3_fixture_start(struct s3_fixture *fixture, const char *certificate,
                                    const char *token)
{
    int in[2];
    int out[2];
    if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0) {
        s3_fixture_fail("no pipe");
    }
    fixture->pid = fork();
    if (fixture->pid == 0) {
        s3_fixture_exec(certificate == NULL ? "" : certificate, token == NULL ? "" : token, in[0],
                        out[1]);
    }
    close(in[0]);
    close(out[1]);
    fixture->life = in[1];
    fixture->ca_file = certificate;
    FILE *said = fdopen(out[0], "r");
    if (said == NULL || fscanf(said, "port %d", &fixture->port) != 1) {
        s3_fixture_fail("tests/objstore/s3_server.py does not start");
    }
    fclose(said);
    snprintf(fixture->endpoint, sizeof(fixture->endpoint), "%s://localhost:%d",
             certificate == NULL ? "http" : "https", fixture->port);
}

static inline void s3_fixture_stop(struct s3_fixture *fixture)
{
    close(fixture->life);
    waitpid(fixture->pid, NULL, 0);
}

/* Of a store that finds the server; quick to try again. */
static inline struct mrd_s3_options s3_fixture_options(const struct s3_fixture *fixture)
{
    return (struct mrd_s3_options){
        .endpoint = fixture->endpoint,
        .region = "test-1",
        .bucket = "bucket-1",
        .prefix = "some/where/",
        .path_style = true,
        .credentials = {.access_key = "test-access", .secret_key = "test-secret/+="},
        .ca_file = fixture->ca_file,
        .part_size = 5 << 20,
        .backoff_ms = 2,
    };
}

static inline size_t s3_fixture_keep(char *data, size_t size, size_t count, void *context)
{
    mrd_buf_append(context, data, size * count);
    return size * count;
}

/* Posts to /_test/<path> and appends the answer. */
static inline void s3_fixture_say(const struct s3_fixture *fixture, const char *path,
                                  const char *body, struct mrd_buf *out)
{
    char url[512];
    snprintf(url, sizeof(url), "%s/_test/%s", fixture->endpoint, path);
    CURL *easy = curl_easy_init();
    if (easy == NULL || curl_easy_setopt(easy, CURLOPT_URL, url) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_PROXY, "") != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_CAINFO, fixture->ca_file) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, s3_fixture_keep) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_WRITEDATA, (void *)out) != CURLE_OK ||
        curl_easy_perform(easy) != CURLE_OK) {
        s3_fixture_fail("the server does not listen to its test");
    }
    curl_easy_cleanup(easy);
}

#endif
