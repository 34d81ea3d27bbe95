/* The first process of every pod: does nothing but exist, and lets the kernel bury the pod's dead. */
#include <signal.h>
#include <unistd.h>

static void end(int signal) {
    (void)signal;
    _exit(0);
}

int main(void) {
    signal(SIGCHLD, SIG_IGN);
    signal(SIGINT, end);
    signal(SIGTERM, end);
    for (;;)
        pause();
}
