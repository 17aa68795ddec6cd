//! Sans-IO multi-Paxos over a prefix log.
