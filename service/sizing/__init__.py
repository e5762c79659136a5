"""How large must it be? A model, a simulation, and the measurements that both are checked against."""
