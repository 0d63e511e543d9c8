"""The local default: real Kafka, Valkey and SecantusDB and our services, started and supervised with no container.

profile      where data lies and which ports are used
jars         Kafka's jars, by a lock of their hashes
servers      how each server is started and how it says that it is ready
services     the same for our own processes
ports        whether the ports are free, and who has those that are not
claims       which process runs as what, across crashes of the supervisor
child        one process: started, watched, restarted, ended
supervisor   all of them, stage by stage and in reverse
logs         one file for each, kept to a size
secured      the servers behind TLS and passwords, for tests; their certificates by authority, Valkey's TLS by tls_front
testing      the servers on free ports in a throw-away folder
"""
