/* Reaps orphans, and waits for a signal to end: the first process of the node and of every pod. */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void reap(int signal) { (void)signal; while (waitpid(-1, NULL, WNOHANG) > 0) {} }
static void end(int signal) { (void)signal; _exit(0); }

int main(void) {
  struct sigaction action = {0};
  action.sa_handler = end;
  if (sigaction(SIGINT, &action, NULL) || sigaction(SIGTERM, &action, NULL)) return 1;
  action.sa_handler = reap;
  action.sa_flags = SA_NOCLDSTOP;
  if (sigaction(SIGCHLD, &action, NULL)) return 1;
  for (;;) pause();
}
