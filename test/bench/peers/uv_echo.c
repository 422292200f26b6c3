/* A TCP echo server on libuv, as its guide writes it: alloc, read, write, free.
 * uv_echo PORT */
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

struct reply {
    uv_write_t request;
    uv_buf_t buffer;
};

static void on_closed(uv_handle_t *handle)
{
    free(handle);
}

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buffer)
{
    (void)handle;
    buffer->base = malloc(size);
    buffer->len = size;
}

static void on_written(uv_write_t *request, int status)
{
    struct reply *reply = (struct reply *)request;

    (void)status;
    free(reply->buffer.base);
    free(reply);
}

static void on_read(uv_stream_t *client, ssize_t length, const uv_buf_t *buffer)
{
    if (length > 0) {
        struct reply *reply = malloc(sizeof *reply);

        reply->buffer = uv_buf_init(buffer->base, (unsigned)length);
        uv_write(&reply->request, client, &reply->buffer, 1, on_written);
        return;
    }
    free(buffer->base);
    if (length < 0) {
        uv_close((uv_handle_t *)client, on_closed);
    }
}

static void on_connection(uv_stream_t *server, int status)
{
    uv_tcp_t *client = malloc(sizeof *client);

    if (status < 0 || client == NULL) {
        return;
    }
    uv_tcp_init(server->loop, client);
    if (uv_accept(server, (uv_stream_t *)client) == 0) {
        uv_tcp_nodelay(client, 1);
        uv_read_start((uv_stream_t *)client, on_alloc, on_read);
    } else {
        uv_close((uv_handle_t *)client, on_closed);
    }
}

int main(int argc, char *argv[])
{
    struct sockaddr_in address;
    uv_tcp_t server;

    uv_tcp_init(uv_default_loop(), &server);
    uv_ip4_addr("127.0.0.1", atoi(argv[argc - 1]), &address);
    if (uv_tcp_bind(&server, (const struct sockaddr *)&address, 0) != 0 ||
        uv_listen((uv_stream_t *)&server, 511, on_connection) != 0) {
        return 1;
    }
    return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
